"""Benchmarks compare like with like, and none of them rots; their numbers are not looked at."""

import json
import math
from functools import partial

import numpy as np
import pytest
import torch
import xarray as xr
from numpy.testing import assert_allclose

from benchmarks import (
    batches,
    forecast,
    fusion,
    losses,
    prepare,
    readbacks,
    regrid,
    report,
    steps,
    stores,
    streaming,
)
from benchmarks.harness import Row, Setting, side_by_side
from benchmarks.make_source import make_source
from benchmarks.plain import plain_nt_xent
from benchmarks.sample import JOINT, Sample, sample
from sparta_ray.data.batches.expand import expand, to_device
from sparta_ray.data.preparation.recipe import read_recipe
from sparta_ray.losses.nt_xent import nt_xent


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    return Setting(tmp_path_factory.mktemp("benchmarks"), repeats=2, quick=True)


@pytest.fixture(scope="module")
def tiny(setting: Setting) -> Sample:
    return sample(setting)


class Clock:
    """Advances only when somebody works."""

    now = 0.0

    def __call__(self) -> float:
        return self.now

    def work(self, seconds: float) -> None:
        self.now += seconds


def test_the_ratio_is_the_median_over_pairs_taken_in_turn() -> None:
    clock = Clock()
    ours = iter([1, 1, 1, 4, 2])  # the first two are the warm-up and the first look
    plain = iter([1, 1, 6, 8, 8])
    pair = side_by_side(
        lambda: clock.work(next(ours)), lambda: clock.work(next(plain)), repeats=3, clock=clock
    )
    assert (pair.ours, pair.plain, pair.ratio) == (2, 8, 4)  # of 6 / 1, 8 / 4 and 8 / 2


def test_short_work_is_repeated_within_one_reading() -> None:
    clock, calls = Clock(), []

    def short() -> None:
        calls.append(1)
        clock.work(1 / 128)

    pair = side_by_side(short, partial(clock.work, 0.5), repeats=2, clock=clock)
    assert len(calls) == 2 + 2 * 3  # 3/128 s are more than 0.02 s
    assert pair.ours == 1 / 128


def test_table_and_record(tmp_path) -> None:
    rows = [
        Row("fast", "rows/s", 4271.2, 180.0, 23.72, "≥ 20", True),
        Row("small", "kB", 150.0, target="≤ 145 kB", reached=False),
    ]
    lines = report.markdown(rows).splitlines()
    assert lines[2:] == [
        "| fast | 4,271 rows/s | 180 rows/s | 23.7 | ≥ 20 | reached |",
        "| small | 150 kB |  |  | ≤ 145 kB | **missed** |",
    ]
    report.write(tmp_path / "new", rows)
    record = json.loads((tmp_path / "new/results.json").read_text())
    assert record["rows"][0]["ratio"] == 23.72
    assert record["machine"]["cores"] in (tmp_path / "new/results.md").read_text()


def test_plain_views_are_ours_wherever_neither_mask_hides(tiny: Sample) -> None:
    views = expand(to_device(tiny.batch(JOINT), torch.device("cpu")), tiny.operator)
    rows = [tiny.plain_rows[row] for row in range(len(views.fields.day))]
    plain = [torch.stack(part) for part in zip(*rows, strict=True)]
    assert_allclose(plain[0], views.anchor, atol=1e-4)
    for theirs, ours in zip(plain[1:4], (views.after, views.before, views.input), strict=True):
        seen = (theirs != 0) & (ours != 0)
        assert 0.05 < seen.float().mean() < 0.25  # both keep 10 to 50 %
        assert_allclose(theirs[seen], ours[seen], atol=1e-4)
    fields = views.fields
    for theirs, ours in zip(plain[4:], (fields.day, fields.after, fields.before), strict=True):
        assert torch.equal(theirs, ours)


def test_plain_loss_is_ours() -> None:
    z = torch.randn(2, 7, 5, dtype=torch.float64)
    assert float(plain_nt_xent(z[0], z[1], 0.3)) == pytest.approx(
        float(nt_xent(z[0], z[1], 0.3)), rel=1e-12
    )


def test_plain_preparation_is_ours(setting: Setting) -> None:
    recipe = read_recipe(prepare._config(setting, 3))
    assert_allclose(prepare._with_xarray(recipe), recipe.read_fields(0, 3), rtol=1e-4, atol=1e-3)


def test_made_source_is_like_weatherbench(tmp_path) -> None:
    make_source(str(tmp_path / "source.zarr"), days=2, samples_per_day=4, grid=(12, 7))
    with xr.open_zarr(tmp_path / "source.zarr", chunks=None) as source:
        assert source.geopotential.dims == ("time", "level", "latitude", "longitude")
        assert source.geopotential.encoding["chunks"] == (1, 1, 7, 12)
        assert source.latitude.values.tolist() == [90, 60, 30, 0, -30, -60, -90]
        assert source.time.values[5] == np.datetime64("1979-01-02T06")
        assert 250 < float(source["2m_temperature"].mean()) < 310
        assert all(np.isfinite(source[name]).all() for name in source)


def test_a_step_reads_nothing_back_where_checking_at_once_does(setting: Setting) -> None:
    (row,) = readbacks.measure(setting)
    assert (row.ours, row.plain, row.reached) == (0, 1, True)


@pytest.mark.parametrize(
    "benchmark", [batches, forecast, fusion, losses, regrid, steps, stores, streaming]
)
def test_a_benchmark_runs(benchmark, setting: Setting) -> None:
    rows = list(benchmark.measure(setting))
    assert len(rows) >= 2
    assert all(math.isfinite(row.ours) and row.ours > 0 for row in rows)
    assert all((row.target == "") == (row.reached is None) for row in rows)
