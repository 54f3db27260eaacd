"""What is found out about a run before anything starts, and what is refused."""

from dataclasses import replace
from pathlib import Path

import pytest

from sparta_ray.base.config import load
from sparta_ray.base.errors import ConfigError
from sparta_ray.base.folder import RunFolder
from sparta_ray.data.preparation.facts import inspect_data
from sparta_ray.data.preparation.shards import finish, lay_out, write_shard
from sparta_ray.data.store.store import Store, read_meta
from sparta_ray.inspection import check_recorded, inspect
from sparta_ray.run.ownership import Allowed, claim
from sparta_ray.run.settings import Run, with_absolute_paths
from sparta_ray.tasks.trials import trials

SMOKE = Path(__file__).parents[2] / "conf" / "smoke.yaml"
CHAIN = ("prepare", "train", "downstream", "evaluate", "report")
READERS = (("downstream",), ("evaluate",))


def run_in(folder, *overrides):
    paths = (f"folder={folder}/runs", f"data.store={folder}/store.zarr")
    return with_absolute_paths(load(Run, SMOKE, [*paths, *overrides]))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """The path of a finished store of the smoke run."""
    recipe = inspect_data(run_in(tmp_path_factory.mktemp("data")).data).recipe
    lay_out(recipe)
    finish(recipe, {n: write_shard(recipe, n) for n in range(recipe.layout.shards)})
    return recipe.config.store


@pytest.fixture
def run(store, tmp_path):
    """A run whose store is finished."""
    return run_in(tmp_path, f"data.store={store}")


def finish_links(run, links):
    """Leave in the run folder what finished links leave, as far as anyone looks."""
    folder = RunFolder(run.path)
    claim(folder, run, Store(run.data.store).fingerprint)
    if "train" in links:
        for kind in run.models:
            folder.write(f"models/{kind}/model.json", "{}")
    if "downstream" in links:
        for trial in trials(run):
            folder.write(f"{trial.folder}/trial.json", "{}")


def test_a_run_that_has_not_begun(tmp_path):
    run = run_in(tmp_path)
    facts = inspect(run, CHAIN)
    assert facts.run is run
    assert not facts.data.complete
    assert facts.data.fingerprint is None
    assert facts.data.recipe is not None
    assert facts.data.layout is facts.data.recipe.layout
    assert len(facts.data.layout.days) == 365
    assert facts.data.layout.grid == (64, 32)
    assert not facts.trained
    assert list(facts.unfinished) == trials(run)
    assert facts.misfit is None
    assert list(tmp_path.iterdir()) == []


def test_a_finished_store_is_all_that_is_needed_of_the_data(run, monkeypatch):
    def refuse(*_):
        raise AssertionError("the source was opened again")

    monkeypatch.setattr("sparta_ray.data.preparation.facts.read_recipe", refuse)
    facts = inspect(run, CHAIN)
    assert facts.data.complete
    assert facts.data.fingerprint == Store(run.data.store).fingerprint
    assert facts.data.recipe is None
    assert facts.data.layout.grid == (64, 32)


def test_the_stores_record_is_read_once(run, monkeypatch):
    reads = []

    def counted(path):
        reads.append(path)
        return read_meta(path)

    monkeypatch.setattr("sparta_ray.data.preparation.facts.read_meta", counted)
    monkeypatch.setattr("sparta_ray.data.store.store.read_meta", counted)
    inspect(run, CHAIN)
    assert reads == [run.data.store]


def test_what_is_trained_is_found(run):
    finish_links(run, ("train",))
    assert inspect(run, CHAIN).trained
    last = trials(run)[-1]
    for trial in trials(run)[:-1]:
        RunFolder(run.path).write(f"{trial.folder}/trial.json", "{}")
    assert inspect(run, ("downstream",)).unfinished == (last,)
    finish_links(run, ("downstream",))
    assert inspect(run, ("evaluate",)).unfinished == ()


@pytest.mark.parametrize("links", READERS)
def test_a_reader_with_a_mistyped_store_names_it_and_begins_nothing(run, tmp_path, links):
    finish_links(run, ("train", "downstream"))
    mistyped = replace(run, data=replace(run.data, store=f"{tmp_path}/stroe.zarr"))
    with pytest.raises(ConfigError, match=r"no store at .*stroe\.zarr.*data\.store.*prepare_data"):
        inspect(mistyped, links)
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


@pytest.mark.parametrize("links", READERS)
def test_a_reader_does_not_continue_an_unfinished_store(tmp_path, links):
    run = run_in(tmp_path)
    lay_out(inspect_data(run.data).recipe)
    with pytest.raises(ConfigError, match=r"store\.zarr is not complete; run jobs/prepare_data"):
        inspect(run, links)


@pytest.mark.parametrize("links", READERS)
def test_a_reader_with_a_mistyped_name_names_the_folder_and_makes_none(run, links):
    with pytest.raises(ConfigError, match=r"runs/smoke has no trained models.*train_sparta"):
        inspect(run, links)
    assert not RunFolder(run.path).exists("")


def test_an_evaluation_needs_every_downstream_trial(run):
    finish_links(run, ("train",))
    message = rf"{len(trials(run))} downstream trials .*runs/smoke.*train_downstream\.py first"
    with pytest.raises(ConfigError, match=message):
        inspect(run, ("evaluate",))


def test_a_report_needs_the_run_folder_alone(run, tmp_path):
    message = r"no run at .*runs/smoke.*name.*folder"
    with pytest.raises(ConfigError, match=message):
        check_recorded(run)
    assert list(tmp_path.iterdir()) == []
    finish_links(run, ())
    check_recorded(replace(run, data=replace(run.data, store=f"{tmp_path}/gone.zarr")))
    with pytest.raises(ConfigError, match="seed: 0 -> 1"):
        check_recorded(replace(run, seed=1))


@pytest.mark.parametrize("links", [("prepare",), *READERS])
def test_a_store_of_other_settings_is_refused(run, links):
    other = replace(run, data=replace(run.data, last_day="1979-12-30"))
    with pytest.raises(ConfigError, match="last_day: '1979-12-31' -> '1979-12-30'"):
        inspect(other, links)


def test_a_run_that_does_not_fit_its_data_may_still_prepare_them(run):
    long = replace(run, sampling=replace(run.sampling, min_soft_days=1000))
    with pytest.raises(ConfigError, match=r"sampling\.min_soft_days"):
        inspect(long, CHAIN)
    facts = inspect(long, ("prepare",))
    assert facts.misfit is not None
    assert facts.misfit.startswith("prepare: the data can be prepared, but not trained on")
    assert "sampling.min_soft_days" in facts.misfit


def test_a_folder_of_another_run_or_of_other_data_is_refused(run):
    claim(RunFolder(run.path), run, "other data")
    with pytest.raises(ConfigError, match="data fingerprint: other data -> "):
        inspect(run, CHAIN)
    inspect(run, CHAIN, Allowed(changed_data=True))
    with pytest.raises(ConfigError, match="seed: 0 -> 1"):
        inspect(replace(run, seed=1), CHAIN, Allowed(changed_data=True))


def test_facts_of_data_are_handed_on_to_runs_that_share_them(run, tmp_path):
    data = inspect_data(run.data)
    other = replace(run, name="other")
    assert inspect(other, CHAIN, data=data).data is data


FIELDS = "downstream.forecast={direct: {kind: anomaly_regression, lead_days: 5}}"


def test_fields_that_may_lack_values_are_refused_as_a_target_before_anything_starts(tmp_path):
    run = run_in(tmp_path, "data.max_missing=0.1", FIELDS)
    words = (
        r"downstream\.forecast\.direct\.target is fields, which must be complete, but "
        r"data\.max_missing 0\.1 lets values be missing; set the target to embedding, or "
        r"data\.max_missing to 0"
    )
    with pytest.raises(ConfigError, match=words):
        inspect(run, CHAIN)
    assert list(tmp_path.iterdir()) == []
    assert "direct.target is fields" in inspect(run, ("prepare",)).misfit
    embedding = FIELDS.replace("}}", ", target: embedding}}")
    inspect(run_in(tmp_path, "data.max_missing=0.1", embedding), CHAIN)
    inspect(run_in(tmp_path, FIELDS), CHAIN)
