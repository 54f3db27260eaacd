import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sparta_ray.base.config import from_tree, load
from sparta_ray.base.errors import ConfigError
from sparta_ray.base.grids import EquiangularGrid, Grid
from sparta_ray.run.checks import check_region, check_run
from sparta_ray.run.settings import Run, downstream_splits, schedule, splits, with_absolute_paths

DAYS, GRID = 23_386, (64, 32)
DATES = np.datetime64("1959-01-01") + np.arange(DAYS)


def run_of(*overrides):
    return load(Run, None, overrides)


def test_the_published_run_fits_the_published_data():
    check_run(Run(), DATES, GRID)
    assert {name: len(part) for name, part in splits(Run(), DAYS).items()} == {
        "train": 14_031,
        "validation": 4_677,
        "test": 4_678,
    }
    downstream = downstream_splits(Run(), DAYS)
    assert [len(part) for part in downstream.values()] == [2_806, 935, 937]
    assert downstream["train"].start == splits(Run(), DAYS)["test"].start
    assert downstream["test"].stop == DAYS


def test_the_published_schedule():
    pretrain = Run().training.stages[0]
    positions = schedule(Run(), pretrain, DAYS)
    assert (positions.epochs, positions.train_steps, positions.validation_steps) == (100, 334, 112)
    without = run_of("sampling.negatives=false")
    assert schedule(without, pretrain, DAYS).train_steps == 110


def test_runs_with_and_without_negatives_of_equal_steps():
    runs = [
        run_of("training.steps_per_epoch=334", f"sampling.negatives={negatives}")
        for negatives in ("true", "false")
    ]
    for stage in Run().training.stages:
        ours, published = (schedule(run, stage, DAYS) for run in runs)
        assert published.epochs == ours.epochs == stage.epochs
        assert published.train_steps == ours.train_steps == 334
        assert (ours.plan_steps, published.plan_steps) == (334, 110)
        ends = [positions.batch_at(333).ends_split for positions in (ours, published)]
        assert ends == [True, True]
    rows = [run.sampling.rows_per_full_batch for run in runs]
    assert rows == [126, 128]


def test_soft_negatives_that_are_too_far_and_the_distance_that_fits():
    with pytest.raises(ConfigError, match=r"train split has 876 days.*min_soft_days") as error:
        check_run(Run(), DATES[:1461], GRID)
    fits = re.search(r"at most (\d+)", str(error.value)).group(1)
    with pytest.raises(ConfigError, match=r"validation split has 292 days") as error:
        check_run(run_of(f"sampling.min_soft_days={fits}"), DATES[:1461], GRID)
    fits = int(re.search(r"at most (\d+)", str(error.value)).group(1))
    with pytest.raises(ConfigError, match=r"downstream\.forecast"):
        check_run(run_of(f"sampling.min_soft_days={fits}"), DATES[:1461], GRID)
    shorter = (
        f"sampling.min_soft_days={fits}",
        "downstream.forecast={short: {look_back: 5, lead_days: 20}}",
    )
    check_run(run_of(*shorter), DATES[:1461], GRID)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("{look_back: 2806}", r"long: look_back 2806 and 1 further days.*2806 days.* train split"),
        ("{look_back: 935}", r"look_back 935 and 1 further days.*935 days.* validation split"),
        ("{look_back: 838}", r"look_back 838 and 100 further days.*937 days.* test split"),
    ],
)
def test_a_look_back_longer_than_its_split(setting, message):
    with pytest.raises(ConfigError, match=message):
        check_run(run_of(f"downstream.forecast={{long: {setting}}}"), DATES, GRID)


def test_the_longest_look_back_that_fits():
    check_run(run_of("downstream.forecast={long: {look_back: 837}}"), DATES, GRID)


GLOBE = EquiangularGrid(kind="equiangular").grid(None)
EUROPE = Grid(np.arange(-10.0, 30, 1.25), np.arange(35.0, 75, 1.25))
BAND = Grid(GLOBE.longitude, GLOBE.latitude[8:24])


@pytest.mark.parametrize("setting", ["views.periodic=true", "model.periodic=decoder"])
def test_a_region_does_not_go_round_the_globe(setting):
    run, path = run_of(setting), setting.split("=")[0]
    with pytest.raises(ConfigError, match=rf"^{path} would join .* -10 … 28\.75, do not go round"):
        check_region(run, EUROPE)
    check_region(run, BAND)
    check_region(run, GLOBE)
    check_region(run_of(), EUROPE)


@pytest.mark.parametrize("path", ["mask", "downstream.mask", "downstream.classification_mask"])
def test_masks_that_are_laid_out_over_the_globe_are_not_for_a_region(path):
    block = run_of(f"{path}.shape={{kind: block}}")
    for region in (EUROPE, BAND):
        with pytest.raises(ConfigError, match=rf"^{path}\.shape: kind `block` .* `variables`$"):
            check_region(block, region)
    check_region(block, GLOBE)
    check_region(run_of(f"{path}.shape={{kind: variables}}"), EUROPE)


def test_a_grid_or_embedding_the_decoder_cannot_reach():
    with pytest.raises(ConfigError, match="240x121 must be multiples of 32"):
        check_run(Run(), DATES, (240, 121))
    with pytest.raises(ConfigError, match=r"model\.embedding 999 does not divide"):
        check_run(run_of("model.embedding=999"), DATES, GRID)


def test_a_last_batch_too_small_for_its_workers():
    # 4,667 anchors of validation leave 5 for the last batch: 15 rows
    check_run(run_of("scaling.num_workers=15"), DATES, GRID)
    with pytest.raises(ConfigError, match=r"last validation batch .* 15 rows.* at most 15 workers"):
        check_run(run_of("scaling.num_workers=16"), DATES, GRID)
    # 14,021 = 10 * 1402 + 1: a batch of one row, which no batch norm can train on
    single = ("sampling.negatives=false", "sampling.rows_per_batch=10")
    with pytest.raises(ConfigError, match=r"last train batch .* 1 rows.*rows_per_batch$"):
        check_run(run_of(*single), DATES, GRID)


def test_a_last_batch_that_is_full():
    run = run_of("sampling.negatives=false", "sampling.rows_per_batch=7", "scaling.num_workers=6")
    assert (14_021 % 7, 4_667 % 7) == (0, 5)
    with pytest.raises(ConfigError, match="last validation batch of an epoch has 5 rows"):
        check_run(run, DATES, GRID)
    check_run(replace(run, scaling=replace(run.scaling, num_workers=5)), DATES, GRID)


@pytest.mark.parametrize("name", ["a/b", "", "..", ".", "-v", "a b", "a\n", "ä/"])
def test_a_name_that_could_not_name_a_folder(name):
    with pytest.raises(ConfigError, match="it names a folder"):
        from_tree(Run, {"name": name}, "run")


@pytest.mark.parametrize("name", ["demo", "run-2.1_b", "2024"])
def test_a_name_that_can(name):
    run = from_tree(Run, {"name": name, "folder": "runs/"}, "run")
    assert run.path == f"runs/{name}"


def test_models_in_the_order_of_the_stages():
    assert Run().models == ("sparta", "autoencoder")
    kinds = "training.stages=[{kind: autoencoder}, {kind: pretrain}, {kind: decode}]"
    assert run_of(kinds).models == ("autoencoder", "sparta")
    with pytest.raises(ConfigError, match="must stand together"):
        run_of("training.stages=[{kind: pretrain}, {kind: autoencoder}, {kind: decode}]")


def test_located_paths_are_absolute_and_urls_stay():
    run = with_absolute_paths(run_of("folder=my/runs", "data.store=gs://bucket/store.zarr"))
    assert run.folder == str(Path.cwd() / "my/runs")
    assert run.data.store == "gs://bucket/store.zarr"
    assert with_absolute_paths(run) == run
    source = with_absolute_paths(
        run_of("data.source={kind: netcdf, paths: 'era5/*.nc'}")
    ).data.source
    assert source.paths == str(Path.cwd() / "era5/*.nc")


@pytest.mark.parametrize("day", ["1979-02-30", "1979-13-01", "'1979-02-30'"])
def test_an_impossible_day_is_an_error_of_its_setting(day):
    with pytest.raises(ConfigError, match=r"data\.first_day: write a day as 1979-01-31"):
        load(Run, None, [f"data.first_day={day}"])
    assert load(Run, None, ["data.first_day=1979-02-28"]).data.first_day == "1979-02-28"


def six_hourly(*overrides):
    dates = np.datetime64("1959-01-01T00", "h") + 6 * np.arange(4 * DAYS)
    check_run(run_of("data.step=6h", *overrides), dates, GRID)


def test_six_hourly_steps_have_a_climatology_if_they_train_on_a_whole_year():
    six_hourly()
    share = 4 * 200 / (4 * DAYS)
    few = (f"data.split={{train: {share}, validation: 0.2}}",)
    with pytest.raises(ConfigError, match=r"has 800 steps and leaves a day of the year 83 days"):
        six_hourly(*few)


def test_anomalies_of_six_hourly_steps_are_departures_from_the_daily_cycle_too():
    forecast = "downstream.forecast={own: {kind: anomaly_regression, daily_harmonics: %d}}"
    with pytest.raises(ConfigError, match=r"forecast\.own: steps of 6 hours have a daily cycle"):
        six_hourly(forecast % 0)
    six_hourly(forecast % 1)
    check_run(run_of(forecast % 0), DATES, GRID)
    with pytest.raises(ConfigError, match="have no daily cycle; set daily_harmonics to 0"):
        check_run(run_of(forecast % 1), DATES, GRID)
