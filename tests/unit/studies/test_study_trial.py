from dataclasses import replace

import pytest

from sparta_ray.base.errors import ConfigError
from sparta_ray.studies.config import load_study
from sparta_ray.studies.trial import training_key, trials_of

PLAIN = {"sampling.negatives": False, "training": {"contrastive": {"cycle_weight": 0}}}
LOOK = {"downstream.forecast.lookback3_stride1.look_back": 5}


def trials(path, *overrides):
    return trials_of(load_study(path, overrides), path)


def test_a_trial_is_a_run_in_the_folder_of_the_study(write_study, tmp_path):
    path = write_study(seeds=[3, 5], variants={"plain": PLAIN, "full": {}})
    found = trials(path)
    assert [t.name for t in found] == ["plain-seed3", "plain-seed5", "full-seed3", "full-seed5"]
    run = found[1].run
    assert run.path == str(tmp_path / "runs/compared/plain-seed5")
    assert run.seed == 5
    assert not run.sampling.negatives
    assert run.training.contrastive.cycle_weight == 0
    assert run.training.stages[0].epochs == 3  # the base's
    assert found[2].run.sampling.negatives


def test_a_variant_may_have_seeds_of_its_own(write_study):
    variants = {"a": {}, "b": {"model.width": 0.2}}
    found = trials(write_study(seeds=[0, 1], seeds_of={"b": [7]}, variants=variants))
    assert [(t.name, t.run.seed) for t in found] == [("a-seed0", 0), ("a-seed1", 1), ("b-seed7", 7)]


def test_common_settings_come_before_the_variants_own(write_study):
    path = write_study(common={"model.width": 0.1, "views.crop": [35, 19]},
                       variants={"a": {}, "b": {"model": {"width": 0.2}}})  # fmt: skip
    a, b = trials(path, "common.model.embedding=24")
    assert (a.run.model.width, b.run.model.width) == (0.1, 0.2)
    assert a.run.views.crop == b.run.views.crop == (35, 19)
    assert a.run.model.embedding == 24
    assert a.run.model.projection == 8  # the base's


def test_a_variant_may_be_a_run_file(write_study, tmp_path):
    (tmp_path / "other.yaml").write_text("name: other\nmodel: {width: 0.75}\n")
    path = write_study(variants={"file": "other.yaml"}, common={"model.embedding": 24})
    (trial,) = trials(path)
    assert (trial.run.model.width, trial.run.model.embedding) == (0.75, 24)
    assert trial.run.name == "file-seed0"


def test_trials_that_differ_after_training_share_it(write_study):
    path = write_study(seeds=[0, 1], variants={"full": {}, "look": LOOK, "plain": PLAIN})
    by_name = {trial.name: trial for trial in trials(path)}
    assert by_name["look-seed1"].trained_by == "full-seed1"
    assert [name for name, trial in by_name.items() if trial.trains] == [
        "full-seed0", "full-seed1", "plain-seed0", "plain-seed1",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "value", "same"),
    [
        ("downstream.seeds", [4], True),
        ("downstream.mask.ratio", [0.5, 0.5], True),
        ("evaluation.report_leads", [2], True),
        ("scaling.num_workers", 2, True),
        ("training.keep_checkpoints", 9, True),
        ("seed", 1, False),
        ("mask.ratio", [0.5, 0.5], False),
        ("training.plateau.patience", 3, False),
        ("training.stages.0.lr", 0.5, False),
        ("model.fusion.kind", "attention", False),
        ("data.split.train", 0.55, False),
        ("data.store", "elsewhere.zarr", False),
    ],
)
def test_the_key_is_that_of_the_training(write_study, path, value, same):
    study = write_study(variants={"a": {}, "b": {path: value}})
    if path == "seed":
        run = trials(write_study(variants={"a": {}}))[0].run
        assert training_key(run) != training_key(replace(run, seed=1))
        return
    a, b = trials(study)
    assert (training_key(a.run) == training_key(b.run)) is same


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"variants": {"a": {"model.widht": 1}}}, "variant 'a'.*model.widht: unknown key"),
        ({"variants": {"a": {"training.stages.7.lr": 1}}}, "variant 'a'.*'7' is no index"),
        ({"variants": {"a": {"seed.b": 1}}, "common": {"seed": 1}}, "variant 'a'.*no key 'b'"),
        ({"variants": {"a": {}, "b": {}}}, "variants 'a' and 'b' are the same run"),
        ({"variants": {"a": PLAIN, "b": PLAIN}}, "variants 'a' and 'b' are the same run"),
        ({"variants": {"a": "gone.yaml"}}, "cannot read config .*gone.yaml"),
        ({"variants": {"a/b": {}}}, "'a/b': use letters"),
        ({"variants": {}}, "either `variants` or a `sweep`"),
        ({"seeds": [1, 1], "variants": {"a": {}}}, "no seed twice"),
        ({"seeds": [], "variants": {"a": {}}}, "seeds"),
        ({"seeds_of": {"a": [1, 1]}, "variants": {"a": {}}}, "no seed twice"),
        ({"seeds_of": {"b": [1]}, "variants": {"a": {}}}, "seeds_of names 'b', which is none of"),
        ({"until": "lunch", "variants": {"a": {}}}, "until"),
    ],
)
def test_bad_studies_are_one_error(write_study, content, message):
    with pytest.raises(ConfigError, match=f"(?s){message}"):
        trials(write_study(**content))


def test_two_variants_of_one_name_are_refused(write_study, tmp_path):
    path = tmp_path / "twice.yaml"
    path.write_text("variants:\n  a: {}\n  b: {}\n  a: {model.width: 0.5}\n")
    with pytest.raises(ConfigError, match="the key 'a' appears 2 times"):
        load_study(str(path))
