import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose, assert_array_equal

from sparta_ray.config import ConfigError, from_tree, to_tree
from sparta_ray.data.retry import ReadError
from sparta_ray.data.sources import (
    NetCDFSource,
    SampleSource,
    ZarrSource,
    describe_source,
    licence_text,
    open_source,
    reading,
)
from sparta_ray.variables import PUBLISHED, parse

VARIABLES = tuple(map(parse, ("2m_temperature", "geopotential@850")))

pytestmark = pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")


@pytest.fixture
def opened(tmp_path):
    """Write datasets as files and open them as one source."""

    def opened(*datasets, variables=VARIABLES, first_day=None, last_day=None, **settings):
        folder = Path(tempfile.mkdtemp(dir=tmp_path))
        for number, dataset in enumerate(datasets):
            dataset.to_netcdf(folder / f"{number}.nc", engine="h5netcdf")
        names = settings.pop("names", {})
        config = NetCDFSource(kind="netcdf", paths=f"{folder}/*.nc", names=names)
        return open_source(config, variables, first_day, last_day, **settings)

    return opened


@pytest.fixture
def zarred(tmp_path):
    """Write a dataset as a Zarr store and open it; returns the source and the store's path."""

    def zarred(dataset, zarr_format=3, variables=VARIABLES, encoding=None, **settings):
        path = Path(tempfile.mkdtemp(dir=tmp_path)) / "source.zarr"
        dataset.to_zarr(path, zarr_format=zarr_format, consolidated=True, encoding=encoding)
        config = ZarrSource(kind="zarr", url=str(path), **settings)
        return open_source(config, variables), path

    return zarred


def expected(dataset):
    """Return (time, 2, X, Y) of an ascending dataset."""
    channels = dataset["2m_temperature"], dataset["geopotential"].sel(level=850)
    return np.stack([channel.values for channel in channels], axis=1)


def test_a_plain_file(opened, make_dataset):
    dataset = make_dataset(days=6)
    source = opened(dataset)
    assert source.samples_per_step == 1
    assert source.days[0] == np.datetime64("1979-01-01")
    assert len(source.days) == 6
    assert_array_equal(source.latitude, [-72, -36, 0, 36, 72])
    assert_array_equal(source.longitude, [0, 90, 180, 270])
    assert source.attributes["title"] == "made-up weather"
    fields = source.read_steps(2, 5)
    assert fields.dtype == np.float32
    assert_allclose(fields, expected(dataset)[2:5], rtol=1e-6)


# Layouts


def test_latitude_may_descend(opened, make_dataset):
    dataset = make_dataset()
    source = opened(dataset.isel(latitude=slice(None, None, -1)))
    assert_array_equal(source.latitude, [-72, -36, 0, 36, 72])
    assert_allclose(source.read_steps(0, 6), expected(dataset), rtol=1e-6)


@pytest.mark.parametrize("west", [[-180, -90, 0, 90], [-90, 0, 90, 180]])
def test_longitudes_may_begin_in_the_west(opened, make_dataset, west):
    dataset = make_dataset()
    source = opened(
        dataset.assign_coords(longitude=np.array(west) % 360).assign_coords(longitude=west)
    )
    assert_array_equal(source.longitude, [0, 90, 180, 270])
    place = {float(degrees % 360): index for index, degrees in enumerate(west)}
    rolled = expected(dataset)[:, :, [place[degrees] for degrees in (0, 90, 180, 270)]]
    assert_allclose(source.read_steps(0, 6), rolled, rtol=1e-6)


def test_dims_may_stand_in_any_order(opened, make_dataset):
    dataset = make_dataset()
    source = opened(dataset.transpose("latitude", "level", "time", "longitude"))
    assert_allclose(source.read_steps(0, 6), expected(dataset), rtol=1e-6)


@pytest.mark.parametrize(
    "names",
    [
        {"time": "valid_time", "level": "pressure_level", "2m_temperature": "t2m"},
        {"latitude": "lat", "longitude": "lon", "level": "plev", "geopotential": "zg"},
        {"level": "isobaricInhPa", "geopotential": "z", "2m_temperature": "2t"},
    ],
)
def test_other_names(opened, make_dataset, names):
    dataset = make_dataset()
    source = opened(dataset.rename(names))
    assert_allclose(source.read_steps(0, 6), expected(dataset), rtol=1e-6)


def test_standard_names_where_no_name_is_known(opened, make_dataset):
    dataset = make_dataset()
    odd = dataset.rename(geopotential="var129", latitude="rows", longitude="columns")
    odd["var129"].attrs["standard_name"] = "geopotential_height"
    odd["var129"].attrs["units"] = "m"
    odd["rows"].attrs["standard_name"] = "latitude"
    odd["columns"].attrs["standard_name"] = "longitude"
    scaled = expected(dataset) * np.array([1, 9.80665])[:, None, None]
    assert_allclose(opened(odd).read_steps(0, 6), scaled, rtol=1e-6)
    odd["again"] = odd["var129"]
    with pytest.raises(ConfigError, match=r"\['var129', 'again'\] all have the standard name"):
        opened(odd)
    source = opened(odd, names={"geopotential": "again"})
    assert_allclose(source.read_steps(0, 6), scaled, rtol=1e-6)


def test_a_name_that_the_user_gives_comes_first(opened, make_dataset):
    dataset = make_dataset().rename({"2m_temperature": "TEMP_2M"})
    source = opened(dataset, names={"2m_temperature": "TEMP_2M"})
    by_hand = expected(dataset.rename(TEMP_2M="2m_temperature"))
    assert_allclose(source.read_steps(0, 6), by_hand, rtol=1e-6)
    with pytest.raises(ConfigError, match=r"no variable 'TEMP'; the nearest are \['TEMP_2M'\]"):
        opened(dataset, names={"2m_temperature": "TEMP"})


@pytest.mark.parametrize(
    ("name", "units", "undone"),
    [
        ("2m_temperature", "degC", lambda kelvin: kelvin - 273.15),
        ("geopotential", "m**2 s**-2", lambda same: same),
        ("geopotential", "m", lambda geopotential: geopotential / 9.80665),
    ],
)
def test_units_are_converted(opened, make_dataset, name, units, undone):
    dataset = make_dataset()
    other = dataset.assign({name: undone(dataset[name]).assign_attrs(units=units)})
    assert_allclose(opened(other).read_steps(0, 6), expected(dataset), rtol=1e-6)


def test_units_that_are_not_known(opened, make_dataset):
    dataset = make_dataset()
    dataset["2m_temperature"].attrs["units"] = "degR"
    with pytest.raises(ConfigError, match=r"2m_temperature has units 'degR'; .*in K, kelvin"):
        opened(dataset)
    del dataset["2m_temperature"].attrs["units"]
    with pytest.raises(ConfigError, match="has units 'absent'"):
        opened(dataset)


def test_levels_may_be_in_pascal_and_stand_in_any_order(opened, make_dataset):
    dataset = make_dataset(levels=(500, 700, 850))
    other = dataset.isel(level=[2, 0, 1])
    other = other.assign_coords(level=("level", other.level.values * 100.0, {"units": "Pa"}))
    variables = tuple(map(parse, ("geopotential@850", "2m_temperature", "geopotential@500")))
    fields = opened(other, variables=variables).read_steps(1, 4)
    for channel, level in ((0, 850), (2, 500)):
        by_hand = dataset["geopotential"].sel(level=level).values[1:4]
        assert_allclose(fields[:, channel], by_hand, rtol=1e-6)
    assert_allclose(fields[:, 1], dataset["2m_temperature"].values[1:4], rtol=1e-6)


def test_one_level_may_be_a_scalar_coordinate(opened, make_dataset):
    dataset = make_dataset(levels=(500, 850))
    source = opened(dataset.sel(level=850))
    assert_allclose(source.read_steps(0, 6), expected(dataset), rtol=1e-6)
    with pytest.raises(ConfigError, match=r"no level 850 hPa; the nearest are \[500\]"):
        opened(dataset.sel(level=500))


def test_a_missing_level(opened, make_dataset):
    levels = (300, 500, 700, 925)
    message = r"geopotential has no level 850 hPa; the nearest are \[925, 700, 500\], all are \[300"
    with pytest.raises(ConfigError, match=message):
        opened(make_dataset(levels=levels))
    surface = make_dataset().isel(level=0, drop=True)
    with pytest.raises(ConfigError, match=r"no level 850 hPa; its levels are none"):
        opened(surface)
    model = make_dataset()
    model["level"].attrs["units"] = "level"
    with pytest.raises(ConfigError, match="level has units 'level', which is no pressure"):
        opened(model)


def test_a_missing_variable_names_the_nearest(opened, make_dataset):
    dataset = make_dataset().rename({"2m_temperature": "2m_temperatur", "geopotential": "phi"})
    message = r"no variable '2m_temperature'.*\['2m_temperatur'\].*data\.source\.names="
    with pytest.raises(ConfigError, match=message):
        opened(dataset)
    with pytest.raises(
        ConfigError, match=r"no variable 'geopotential'.*'phi', 'specific_humidity'"
    ):
        opened(dataset, variables=VARIABLES[1:])


def test_further_dimensions_must_be_of_one(opened, make_dataset):
    dataset = make_dataset()
    source = opened(dataset.expand_dims(number=[3]))
    assert_allclose(source.read_steps(0, 6), expected(dataset), rtol=1e-6)
    with pytest.raises(ConfigError, match="2m_temperature has a further dimension 'number' of 2"):
        opened(dataset.expand_dims(number=[0, 1]))
    static = dataset.assign({"2m_temperature": dataset["2m_temperature"].isel(time=0)})
    with pytest.raises(ConfigError, match="2m_temperature has no dimension 'time'"):
        opened(static)


def test_files_of_one_instant_each(opened, make_dataset):
    dataset = make_dataset(days=3)
    source = opened(*(dataset.isel(time=day) for day in (2, 0, 1)))
    assert len(source.days) == 3
    assert_allclose(source.read_steps(0, 3), expected(dataset), rtol=1e-6)


def test_netcdf_of_the_classic_format(tmp_path, make_dataset):
    dataset = make_dataset().transpose("time", "level", "latitude", "longitude")
    dataset.to_netcdf(tmp_path / "classic.nc", engine="scipy")
    source = open_source(NetCDFSource(kind="netcdf", paths=f"{tmp_path}/*.nc"), VARIABLES)
    assert_allclose(
        source.read_steps(1, 6),
        expected(dataset.transpose(..., "longitude", "latitude"))[1:],
        rtol=1e-6,
    )


# Several files


def test_several_files_make_one_range_and_may_part_within_a_day(opened, make_dataset):
    dataset = make_dataset(days=5, per_day=4)
    parts = [dataset.isel(time=slice(*ends)) for ends in ((6, 7), (0, 6), (7, 20))]
    source = opened(*parts)
    assert len(source.days) == 5
    whole = expected(dataset).reshape(5, 4, 2, 4, 5).mean(axis=1)
    assert_allclose(source.read_steps(0, 5), whole, rtol=1e-6)
    assert_allclose(source.read_steps(3, 4), whole[3:4], rtol=1e-6)
    assert_allclose(source.read_steps(0, 2), whole[:2], rtol=1e-6)


def test_variables_may_lie_in_files_of_their_own(opened, make_dataset):
    dataset = make_dataset(days=4)
    pieces = [
        dataset[["2m_temperature"]].rename(time="valid_time").isel(latitude=slice(None, None, -1)),
        dataset[["geopotential"]],
    ]
    halves = [
        piece.isel(
            {piece["2m_temperature" if "2m_temperature" in piece else "geopotential"].dims[0]: half}
        )
        for piece in pieces
        for half in (slice(0, 2), slice(2, 4))
    ]
    source = opened(*halves)
    assert_allclose(source.read_steps(0, 4), expected(dataset), rtol=1e-6)
    with pytest.raises(ConfigError, match="2m_temperature of the same times is in 2 files"):
        opened(*halves, halves[0])
    with pytest.raises(ConfigError, match="no variable 'geopotential'"):
        opened(halves[0], halves[1])


def test_levels_may_lie_in_files_of_their_own_beside_the_surface(opened, make_dataset):
    dataset = make_dataset(days=3)
    surface = dataset[["2m_temperature"]].assign(z=dataset["2m_temperature"] + 1)
    levels = [dataset[["geopotential"]].sel(level=[level]) for level in dataset.level.values]
    variables = tuple(map(parse, ("geopotential@850", "2m_temperature", "geopotential@500")))
    fields = opened(surface, *levels, variables=variables).read_steps(0, 3)
    assert_allclose(fields[:, 0], levels[1]["geopotential"].values[:, 0], rtol=1e-6)
    assert_allclose(fields[:, 2], levels[0]["geopotential"].values[:, 0], rtol=1e-6)
    with pytest.raises(ConfigError, match="geopotential@500 of the same times is in 2 files"):
        opened(surface, *levels, levels[0], variables=variables)


def test_several_files_are_not_read_on_opening(opened, make_dataset):
    dataset = make_dataset(days=4)
    source = opened(dataset.isel(time=slice(0, 2)), dataset.isel(time=slice(2, 4)))
    arrays = [channel.array for part in source.parts for channel in part.channels]
    assert len(arrays) == 4
    assert not any(array.variable._in_memory for array in arrays)


def test_files_must_share_their_grid(opened, make_dataset):
    dataset = make_dataset(days=4)
    other = dataset.isel(time=slice(2, 4)).assign_coords(latitude=dataset.latitude + 1)
    with pytest.raises(ConfigError, match="do not share their latitudes; regrid"):
        opened(dataset.isel(time=slice(0, 2)), other)


def test_a_file_outside_the_days_asked_for_is_no_obstacle(opened, make_dataset):
    dataset = make_dataset(days=4)
    halves = dataset.isel(time=slice(0, 2)), dataset.isel(time=slice(2, 4))
    source = opened(*halves, first_day="1979-01-03")
    assert_allclose(source.read_steps(0, 2), expected(dataset)[2:], rtol=1e-6)


# Times


def test_first_and_last_day(opened, make_dataset):
    dataset = make_dataset(days=6, per_day=4)
    source = opened(dataset, first_day="1979-01-02", last_day="1979-01-04")
    assert [str(day) for day in source.days] == ["1979-01-02", "1979-01-03", "1979-01-04"]
    by_hand = expected(dataset)[4:16].reshape(3, 4, 2, 4, 5).mean(axis=1)
    assert_allclose(source.read_steps(0, 3), by_hand, rtol=1e-6)
    with pytest.raises(ConfigError, match=r"no sample lies between data\.first_day"):
        opened(dataset, first_day="1990-01-01")


def test_steps_of_another_length(opened, make_dataset):
    dataset = make_dataset(days=4, per_day=4)
    twelve = opened(dataset, step="12h")
    assert (len(twelve.days), twelve.samples_per_step) == (8, 2)
    whole = expected(dataset)
    assert_allclose(twelve.read_steps(3, 5), whole[6:10].reshape(2, 2, 2, 4, 5).mean(1), rtol=1e-6)
    pairs = opened(dataset, step="2d")
    assert_allclose(pairs.read_steps(1, 2), whole[8:].mean(axis=0, keepdims=True), rtol=1e-6)
    each = opened(dataset, step="6h")
    assert_array_equal(each.read_steps(5, 7), whole[5:7].astype(np.float32))


def test_a_room_that_is_not_filled_yet_is_left_out(opened, make_dataset):
    dataset = make_dataset(days=9)
    dataset.attrs |= {"valid_time_start": "1979-01-03", "valid_time_stop": "1979-01-07"}
    source = opened(dataset)
    assert [str(day) for day in source.days[[0, -1]]] == ["1979-01-03", "1979-01-07"]
    assert len(opened(dataset, first_day="1979-01-01", last_day="1979-01-04").days) == 2


def test_incomplete_steps_may_be_averaged(opened, make_dataset):
    dataset = make_dataset(days=2, per_day=4).isel(time=[0, 1, 3, 4, 5, 6, 7])
    with pytest.raises(ConfigError, match="1 days do not have 4 samples each: 1979-01-01"):
        opened(dataset)
    source = opened(dataset, incomplete_steps="average")
    whole = expected(dataset)
    by_hand = np.stack([whole[:3].mean(axis=0), whole[3:].mean(axis=0)])
    assert_allclose(source.read_steps(0, 2), by_hand, rtol=1e-6)


@pytest.mark.parametrize("steps", [[0, 1, 1, 2], [0, 2, 1, 3]])
def test_times_must_ascend_without_repeats(opened, make_dataset, steps):
    with pytest.raises(ConfigError, match=r"ascend without repeats; see 1979-01-02"):
        opened(make_dataset().isel(time=steps))


@pytest.mark.parametrize("calendar", ["noleap", "360_day"])
def test_other_calendars_are_refused(opened, make_dataset, calendar):
    dataset = make_dataset()
    time = xr.Variable(
        "time", np.arange(6), {"units": "days since 1979-01-01", "calendar": calendar}
    )
    with pytest.raises(ConfigError, match=f"its calendar is '{calendar}', not the standard one"):
        opened(dataset.assign_coords(time=time))


def test_times_that_are_none(opened, make_dataset):
    dataset = make_dataset().assign_coords(time=np.arange(6))
    with pytest.raises(ConfigError, match="its times have units 'absent'; they must be such as"):
        opened(dataset)


# Grids


@pytest.mark.parametrize("name", ["time", "latitude", "longitude"])
def test_a_coordinate_that_is_missing(opened, make_dataset, name):
    with pytest.raises(ConfigError, match=rf"no coordinate '{name}'; it has \['.*call it one of"):
        opened(make_dataset().rename({name: "elsewhere"}))


def test_grids_that_are_not_of_latitudes_and_longitudes(opened, make_dataset):
    dataset = make_dataset()
    cells = dataset.stack(cell=("longitude", "latitude")).reset_index("cell")
    with pytest.raises(
        ConfigError, match="no latitude-longitude grid: its points lie along 'cell'"
    ):
        opened(cells)
    curved = dataset.rename(longitude="x", latitude="y")
    curved = curved.assign_coords(
        latitude=(("y", "x"), np.zeros((5, 4))), longitude=(("y", "x"), np.zeros((5, 4)))
    )
    with pytest.raises(ConfigError, match=r"grid: 'longitude' has dimensions .*, not one; regrid"):
        opened(curved)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("latitude", [-72, 0, -36, 36, 72], "neither ascend nor descend"),
        ("latitude", [-72, -36, 0, 36, np.nan], "latitude has values that are not finite"),
        ("latitude", [-100, -36, 0, 36, 72], "latitude 100 is not in degrees north"),
        ("longitude", [0, 120, 240, 360], "longitude 0 is there twice"),
    ],
)
def test_coordinates_that_make_no_grid(opened, make_dataset, name, values, message):
    with pytest.raises(ConfigError, match=message):
        opened(make_dataset().assign_coords({name: values}))


def test_one_latitude_makes_no_grid(opened, make_dataset):
    with pytest.raises(ConfigError, match="one latitude makes no grid"):
        opened(make_dataset().isel(latitude=[2]))


# Missing and damaged


def test_missing_values_stay_missing(opened, make_dataset):
    dataset = make_dataset(days=3, per_day=4)
    dataset["geopotential"].loc[{"time": "1979-01-02T06", "level": 850}][1, 2] = np.nan
    strict = opened(dataset).read_steps(0, 3)
    assert_array_equal(np.argwhere(np.isnan(strict)), [[1, 1, 1, 2]])
    lenient = opened(dataset, incomplete_steps="average").read_steps(0, 3)
    by_hand = expected(dataset)[[4, 6, 7], 1, 1, 2].mean()
    assert lenient[1, 1, 1, 2] == pytest.approx(by_hand, rel=1e-6)


def test_infinite_values_are_named(opened, make_dataset):
    dataset = make_dataset()
    dataset["geopotential"].loc[{"time": "1979-01-05", "level": 850}][1, 2] = np.inf
    source = opened(dataset)
    assert np.isfinite(source.read_steps(0, 4)).all()
    with pytest.raises(ReadError, match="geopotential@850 at 1979-01-05 has infinite values"):
        source.read_steps(2, 6)


def test_where_there_is_nothing(tmp_path):
    with pytest.raises(ConfigError, match=r"'.*none\*\.nc' matches no file"):
        open_source(NetCDFSource(kind="netcdf", paths=f"{tmp_path}/none*.nc"), VARIABLES)
    with pytest.raises(ConfigError, match=r"none\.zarr': no Zarr store there"):
        open_source(ZarrSource(kind="zarr", url=f"{tmp_path}/none.zarr"), VARIABLES)
    with pytest.raises(ConfigError, match=r"'nowhere://x' cannot be opened: Protocol not known"):
        open_source(ZarrSource(kind="zarr", url="nowhere://x"), VARIABLES)


def test_a_file_that_was_cut_short(tmp_path, make_dataset):
    path = tmp_path / "cut.nc"
    make_dataset().to_netcdf(path, engine="h5netcdf")
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(ReadError, match=r"cannot read .*cut\.nc: OSError: .*truncated"):
        open_source(NetCDFSource(kind="netcdf", paths=str(path)), VARIABLES)


CHUNKS = {
    "2m_temperature": {"chunks": (4, 4, 5)},
    "geopotential": {"chunks": (4, 1, 4, 5)},
}


@pytest.mark.parametrize(("zarr_format", "chunk"), [(2, "1.1.0.0"), (3, "c/1/1/0/0")])
def test_a_chunk_that_is_missing_is_no_fill_value(zarred, make_dataset, zarr_format, chunk):
    dataset = make_dataset(days=12)
    source, path = zarred(dataset, zarr_format, encoding=CHUNKS)
    (path / "geopotential" / chunk).unlink()
    assert_allclose(source.read_steps(0, 4), expected(dataset)[:4], rtol=1e-6)
    message = (
        r"geopotential@850 from 1979-01-0[15]T00:00:00 to 1979-01-\d\dT00:00:00: the store has no "
        rf"chunk .*geopotential/{chunk}: .*set data\.source\.missing_chunks=fill"
    )
    with pytest.raises(ReadError, match=message):
        source.read_steps(0, 8)
    config = ZarrSource(kind="zarr", url=str(path), missing_chunks="fill")
    fields = open_source(config, VARIABLES).read_steps(0, 12)
    assert_array_equal(np.isnan(fields).all(axis=(2, 3))[:, 1], np.repeat([0, 1, 0], 4))


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_chunk_that_was_cut_short_is_an_error(zarred, make_dataset, zarr_format):
    source, path = zarred(make_dataset(days=12), zarr_format, encoding=CHUNKS)
    chunk = path / "2m_temperature" / ("2.0.0" if zarr_format == 2 else "c/2/0/0")
    chunk.write_bytes(chunk.read_bytes()[:-20])
    message = r"2m_temperature from 1979-01-09T.* to 1979-01-12.*could not decode .* it is damaged"
    with pytest.raises(ReadError, match=message):
        source.read_steps(8, 12)


def test_a_shard_that_was_cut_short_is_an_error(zarred, make_dataset):
    encoding = {"2m_temperature": {"chunks": (1, 4, 5), "shards": (6, 4, 5)}}
    source, path = zarred(make_dataset(days=12), encoding=encoding)
    assert np.isfinite(source.read_steps(0, 12)).all()
    shard = path / "2m_temperature/c/1/0/0"
    shard.write_bytes(shard.read_bytes()[:-20])
    assert np.isfinite(source.read_steps(0, 6)).all()
    with pytest.raises(ReadError, match=r"2m_temperature from 1979-01-07T.*could not decode"):
        source.read_steps(6, 7)


@pytest.mark.parametrize("steps", [(6, 12), (7, 8)])  # the whole shard; a chunk of it
def test_a_chunk_that_a_shard_lacks_is_no_fill_value(zarred, make_dataset, steps):
    dataset = make_dataset(days=14)
    whole = dataset.copy(deep=True)
    dataset["2m_temperature"][8] = np.nan  # as its writer leaves out what is all fill value
    encoding = {"2m_temperature": {"chunks": (1, 4, 5), "shards": (6, 4, 5), "_FillValue": np.nan}}
    source, path = zarred(dataset, encoding=encoding)
    assert_allclose(source.read_steps(0, 6), expected(whole)[:6], rtol=1e-6)
    assert_allclose(source.read_steps(12, 14), expected(whole)[12:], rtol=1e-6)  # a shard's half
    message = (
        r"1 of the chunks in the shard .*2m_temperature/c/1/0/0 were not .*missing_chunks=fill"
    )
    with pytest.raises(ReadError, match=message):
        source.read_steps(*steps)
    config = ZarrSource(kind="zarr", url=str(path), missing_chunks="fill")
    filled = open_source(config, VARIABLES).read_steps(6, 12)
    assert_array_equal(np.isnan(filled).all(axis=(2, 3))[:, 0], np.arange(6, 12) == 8)


# Zarr, chunks and costs


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_zarr_source(zarred, make_dataset, zarr_format):
    dataset = make_dataset(days=3, per_day=4)
    source, _ = zarred(dataset, zarr_format)
    by_hand = expected(dataset).reshape(3, 4, 2, 4, 5).mean(axis=1)
    assert_allclose(source.read_steps(0, 3), by_hand, rtol=1e-6)


def test_packed_integers(zarred, make_dataset):
    dataset = make_dataset(days=3)
    packing = {"dtype": "int16", "scale_factor": 0.01, "add_offset": 280.0, "_FillValue": -32768}
    source, _ = zarred(dataset, 2, encoding={"2m_temperature": packing})
    assert_allclose(source.read_steps(0, 3)[:, 0], expected(dataset)[:, 0], atol=0.00501)


def test_steps_that_touch_whole_chunks(zarred, make_dataset):
    encoding = {"2m_temperature": {"chunks": (6, 4, 5)}, "geopotential": {"chunks": (2, 2, 2, 5)}}
    source, _ = zarred(make_dataset(days=24, per_day=4), encoding=encoding)
    assert source.read_chunk == 3  # 12 samples: whole chunks of 6, and whole days of 4
    item = 8
    # Day 0 is 4 samples: one chunk of 6 at the surface; two of 2 with both levels, east and west.
    assert source.bytes_to_read(0, 1) == (6 * 20 + 4 * 2 * 20) * item
    assert source.bytes_to_read(0, 24) == (96 * 20 + 96 * 2 * 20) * item
    assert source.bytes_to_read(0, 24) == sum(
        source.bytes_to_read(d, d + 3) for d in range(0, 24, 3)
    )


@pytest.mark.parametrize(
    ("first_day", "offset"), [(None, 0), ("1979-01-02", 1), ("1979-01-03", 2), ("1979-01-04", 0)]
)
def test_where_the_first_step_lies_in_its_chunk(zarred, make_dataset, first_day, offset):
    encoding = {"2m_temperature": {"chunks": (12, 4, 5)}, "geopotential": {"chunks": (2, 2, 4, 5)}}
    _, path = zarred(make_dataset(days=24, per_day=4), encoding=encoding)
    source = open_source(ZarrSource(kind="zarr", url=str(path)), VARIABLES, first_day)
    assert (source.read_chunk, source.chunk_offset) == (3, offset)


def test_no_step_begins_where_a_chunk_does(zarred, make_dataset):
    dataset = make_dataset(days=25)
    encoding = {name: {"chunks": (5, *dataset[name].shape[1:])} for name in dataset.data_vars}
    _, path = zarred(dataset, encoding=encoding)
    config = ZarrSource(kind="zarr", url=str(path))
    offsets = [open_source(config, VARIABLES, "1979-01-02", step="5d", last_day="1979-01-21")]
    assert [source.chunk_offset for source in offsets] == [0]


def test_blocks_are_cut_where_chunks_end(zarred, make_dataset, monkeypatch):
    dataset = make_dataset(days=40)
    source, _ = zarred(dataset, encoding=CHUNKS)
    channels = source.parts[0].channels[:1]
    monkeypatch.setattr(reading, "LOCAL_BYTES", 9 * 20 * 4)  # nine samples: two chunks
    assert list(reading.blocks(channels, 3, 21)) == [(3, 8), (8, 16), (16, 21)]
    assert_allclose(source.read_steps(3, 21), expected(dataset)[3:21], rtol=1e-6)
    monkeypatch.setattr(reading, "LOCAL_BYTES", 1)  # never less than a chunk
    assert list(reading.blocks(channels, 3, 9)) == [(3, 4), (4, 8), (8, 9)]


def test_reading_takes_memory_for_what_is_read_and_little_more(zarred, make_dataset):
    # The other order of dimensions: a lazy transpose would read point by point, with an index each.
    dataset = make_dataset(days=50, grid=(32, 20)).transpose(..., "latitude", "longitude")
    chunks = {"2m_temperature": (10, 20, 32), "geopotential": (10, 2, 20, 32)}
    encoding = {name: {"chunks": chunk} for name, chunk in chunks.items()}
    source, _ = zarred(dataset, encoding=encoding)
    source.read_steps(0, 1)
    tracemalloc.start()
    fields = source.read_steps(0, 50)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10 * fields.nbytes  # a quantity in float64: all levels, those wanted, their means


def test_what_is_decoded_at_once_is_bounded(zarred, make_dataset, monkeypatch):
    source, _ = zarred(make_dataset(days=12), encoding=CHUNKS)
    channel = source.parts[0].channels[0]  # chunks of 4 x 4 x 5 float64: 640 bytes
    assert reading._requests(channel) == reading.LOCAL_REQUESTS
    monkeypatch.setattr(reading, "IN_FLIGHT_BYTES", 3 * 640 + 1)
    assert reading._requests(channel) == 3
    monkeypatch.setattr(reading, "IN_FLIGHT_BYTES", 1)
    assert reading._requests(channel) == 1


# Identity, description, licence


def test_the_signature_changes_when_the_source_does(zarred, make_dataset):
    dataset = make_dataset(days=12)
    source, path = zarred(dataset, encoding=CHUNKS)
    config = ZarrSource(kind="zarr", url=str(path))
    signature = open_source(config, VARIABLES).signature
    assert signature == source.signature
    assert open_source(config, VARIABLES[:1]).signature != signature
    assert open_source(config, VARIABLES, last_day="1979-01-11").signature != signature
    chunk = path / "geopotential/c/2/1/0/0"
    chunk.write_bytes(chunk.read_bytes() + b"!")
    assert open_source(config, VARIABLES).signature != signature


def test_the_signature_of_files(tmp_path, make_dataset):
    dataset, path = make_dataset(), tmp_path / "0.nc"
    config = NetCDFSource(kind="netcdf", paths=str(path))
    signatures = []
    for values in (dataset, dataset, dataset + 1, dataset.assign_coords(latitude=np.arange(5.0))):
        values = values.map(lambda array, **_: array.assign_attrs(dataset[array.name].attrs))
        values.to_netcdf(path, engine="h5netcdf")
        signatures.append(open_source(config, VARIABLES).signature)
        assert open_source(config, VARIABLES).signature == signatures[-1]
    assert len(set(signatures)) == 4


def test_a_description_says_what_was_found(opened, make_dataset):
    dataset = make_dataset(days=3, per_day=4).rename({"2m_temperature": "t2m", "level": "plev"})
    dataset = dataset.isel(latitude=slice(None, None, -1))
    dataset["t2m"].attrs["units"] = "degC"
    dataset = dataset.assign_coords(longitude=[-180, -90, 0, 90])
    lines = describe_source(opened(dataset)).splitlines()
    assert lines[0].endswith("/0.nc")
    assert lines[1:-1] == [
        "  2m_temperature   ← t2m (time, longitude, latitude), degC → K (× 1 + 273.15), contiguous",
        "  geopotential@850 ← geopotential (time, plev, longitude, latitude), level 2 of 2, "
        "m2 s-2, contiguous",
        "  grid: 4 longitudes 0 … 270, 5 latitudes -72 … 72 (longitudes rolled) "
        "(latitudes reversed)",
        "  time: 12 samples, 6 h apart, 1979-01-01T00 … 1979-01-03T18",
        "  steps: 3 of 1 day, 1979-01-01 … 1979-01-03, each the mean of 4 samples",
    ]
    assert lines[-1] == "  to read: 0 MB before compression, 1 steps at a time"


def test_a_config_is_read_and_written_back():
    tree = {
        "kind": "zarr",
        "url": "s3://mine/x.zarr",
        "anonymous": False,
        "names": {"2m_temperature": "T"},
        "options": {"endpoint_url": "http://127.0.0.1:9000", "requester_pays": True},
        "retry": {"attempts": 3},
    }
    config = from_tree(ZarrSource, tree, "test")
    assert (config.options["requester_pays"], config.retry.attempts) == (True, 3)
    assert from_tree(ZarrSource, to_tree(config), "test") == config
    with pytest.raises(ConfigError, match=r"retry\.attempts"):
        from_tree(ZarrSource, {**tree, "retry": {"attempts": 0}}, "test")


def test_the_sample_that_comes_with_the_package():
    source = open_source(SampleSource(), tuple(map(parse, PUBLISHED)), last_day="1979-03-01")
    assert (len(source.days), source.samples_per_step, source.read_chunk) == (60, 1, 60)
    fields = source.read_steps(58, 60)
    assert fields.shape == (2, 5, 64, 32)
    assert 200 < fields[:, 0].min() < fields[:, 0].max() < 330
    assert SampleSource().simulated


def test_licences():
    assert "SPEEDY" in licence_text(SampleSource())
    era5 = "gs://weatherbench2/datasets/era5/1959-2023_01_10-6h-64x32.zarr"
    assert "Copernicus" in licence_text(ZarrSource(kind="zarr", url=era5))
    assert licence_text(ZarrSource(kind="zarr", url="mine")) == ""
    assert licence_text(NetCDFSource(kind="netcdf", paths="mine")) == ""


def test_several_patterns_make_one_source(tmp_path, make_dataset):
    dataset = make_dataset(days=6)
    for year, days in (("a", slice(0, 2)), ("b", slice(2, 6))):
        dataset.isel(time=days).to_netcdf(tmp_path / f"{year}.nc", engine="h5netcdf")
    tree = {"kind": "netcdf", "paths": [f"{tmp_path}/b.nc", f"{tmp_path}/*.nc"]}
    source = open_source(from_tree(NetCDFSource, tree, "test"), VARIABLES)
    assert len(source.parts) == 2  # b.nc, which both match, is read once
    assert_allclose(source.read_steps(0, 6), expected(dataset), rtol=1e-6)
    for paths, message in (
        ([], "paths"),
        ([f"{tmp_path}/a.nc", f"{tmp_path}/c.nc"], "c.nc' match"),
    ):
        with pytest.raises(ConfigError, match=message):
            open_source(from_tree(NetCDFSource, tree | {"paths": paths}, "test"), VARIABLES)
