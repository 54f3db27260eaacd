"""Files of real and of simulated weather as they come, beside the checkout where there are any."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose

from sparta_ray.base.errors import ConfigError
from sparta_ray.base.variables import PUBLISHED, parse
from sparta_ray.data.sources import NetCDFSource, describe_source, open_source

FOLDER = Path(__file__).parents[4] / "shared" / "data"


@pytest.fixture
def opened():
    def opened(name, labels, **settings):
        if not (FOLDER / name).exists():
            pytest.skip(f"the data file {name} is not beside the checkout")
        config = NetCDFSource(kind="netcdf", paths=str(FOLDER / name))
        return open_source(config, tuple(map(parse, labels)), **settings)

    return opened


def test_six_hourly_weather_on_a_gaussian_grid(opened):
    name = "simulated_6h_gaussian96x48_1961-01.nc"
    source = opened(name, PUBLISHED)
    assert (len(source.days), source.samples_per_step, source.read_chunk) == (30, 4, 30)
    assert source.latitude[0] == pytest.approx(-87.159, abs=1e-3)
    with xr.open_dataset(FOLDER / name, engine="h5netcdf") as dataset:
        wind = dataset["u_component_of_wind"].sel(level=850, time="1961-01-07")
        by_hand = wind.mean("time").transpose("longitude", "latitude")[:, ::-1]
    assert_allclose(source.read_steps(6, 7)[0, 1], by_hand, rtol=1e-5, atol=1e-5)


def test_an_instant_of_era5_on_37_levels(opened):
    labels = ("temperature@850", "geopotential@500", "geopotential@850", "sea_surface_temperature")
    source = opened("era5_tl31_19590102T00.nc", labels)
    assert source.days.tolist() == [np.datetime64("1959-01-02").item()]
    means = source.read_steps(0, 1).mean(axis=(0, 2, 3))
    assert means == pytest.approx([272.87, 53836.7, 13717.2, 284.67], rel=1e-4)
    assert "temperature (level, longitude, latitude), level 31 of 37, K" in describe_source(source)


def test_weekly_era5_makes_no_days(opened):
    name, labels = "era5_t2m_weekly_wb_64x32_1980-1982.nc", ("2m_temperature",)
    with pytest.raises(ConfigError, match=r"are 7 days apart, further than data.step 1 day: set"):
        opened(name, labels)
    with pytest.raises(
        ConfigError, match=r"2 steps do not have 1 samples each: 1980-12-30, 1981-12"
    ):
        opened(name, labels, step="7d")
    assert len(opened(name, labels, step="7d", last_day="1980-12-29").days) == 52
    assert len(opened(name, labels, step="7d", incomplete_steps="average").days) == 157
