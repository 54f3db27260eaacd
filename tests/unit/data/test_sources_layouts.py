"""Files of any usual layout, and several of them, are one source."""

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose, assert_array_equal

from sparta_ray.base.errors import ConfigError
from sparta_ray.base.variables import parse
from sparta_ray.data.sources import (
    NetCDFSource,
    open_source,
)
from tests.sources import VARIABLES, expected

pytestmark = pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")


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


def test_short_names_in_capitals_and_levels_known_by_their_standard_name(opened, make_dataset):
    dataset = make_dataset()
    odd = dataset.rename({"2m_temperature": "T2M", "geopotential": "field", "level": "p"})
    odd["field"].attrs["standard_name"] = "geopotential"
    odd["p"].attrs["standard_name"] = "air_pressure"
    assert_allclose(opened(odd).read_steps(0, 6), expected(dataset), rtol=1e-6)


@pytest.mark.parametrize(
    ("longitude", "latitude", "time"),
    [
        ({"units": "degrees_east"}, {"units": "degrees_north"}, {"axis": "T"}),
        ({"units": "degreeE"}, {"units": "degree_N"}, {"_CoordinateAxisType": "Time"}),
        ({"axis": "X"}, {"axis": "Y"}, {"axis": "T"}),
        ({"axis": "X", "units": "degrees"}, {"axis": "Y", "units": "degrees"}, {"axis": "T"}),
        (*({"_CoordinateAxisType": name} for name in ("Lon", "Lat")), {"standard_name": "time"}),
    ],
)
def test_coordinates_known_by_one_attribute_alone(opened, make_dataset, longitude, latitude, time):
    dataset = make_dataset()
    odd = dataset.rename(latitude="rows", longitude="columns", time="when", level="p")
    odd["columns"].attrs, odd["rows"].attrs, odd["when"].attrs = longitude, latitude, time
    odd["p"].attrs = {"axis": "Z", "units": "mbar"}
    odd["geopotential"].encoding["coordinates"] = odd.attrs["coordinates"] = "elsewhere"
    source = opened(odd)
    assert_array_equal(source.latitude, dataset.latitude)
    assert_array_equal(source.longitude, dataset.longitude)
    assert_allclose(source.read_steps(0, 6), expected(dataset), rtol=1e-6)


def test_attributes_that_several_coordinates_have(opened, make_dataset):
    odd = make_dataset().rename(longitude="columns")
    odd["columns"].attrs["units"] = "degrees_east"
    edges = xr.Variable("edge", np.arange(5.0), {"units": "degrees_east"})
    message = "several coordinates that may be its longitude: columns, edges; call the right one"
    with pytest.raises(ConfigError, match=message):
        opened(odd.assign_coords(edges=edges))


@pytest.mark.parametrize(
    "attributes",
    [
        {"axis": "X", "units": "m", "standard_name": "projection_x_coordinate"},
        {"axis": "X", "units": "km"},
        {"axis": "X", "units": "degrees", "standard_name": "grid_longitude"},
        {"units": "degrees_east", "standard_name": "grid_longitude"},
    ],
)
def test_axes_of_projections_are_no_longitudes(opened, make_dataset, attributes):
    odd = make_dataset().rename(longitude="columns")
    odd["columns"].attrs = attributes
    with pytest.raises(ConfigError, match="no coordinate 'longitude'"):
        opened(odd)
    places = (("columns", "latitude"), np.zeros((4, 5)))
    with pytest.raises(ConfigError, match="no latitude-longitude grid: 'lon' has dimensions"):
        opened(odd.assign_coords(lon=places))


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


def test_all_that_does_not_fit_is_named_at_once(opened, make_dataset):
    dataset = make_dataset().rename({"2m_temperature": "temp"})
    dataset["geopotential"].attrs["units"] = "bushel"
    with pytest.raises(ConfigError) as refused:
        opened(dataset)
    heading, variable, units = str(refused.value).splitlines()
    assert heading == "the source does not fit:"
    assert "geopotential has units 'bushel'" in units
    assert "no variable '2m_temperature'" in variable


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
    message = (
        r"'geopotential' in .*\(times: 2, 1979-01-03T00 to 1979-01-04T00\); but not in .*"
        r"\(times: 2, 1979-01-01T00 to 1979-01-02T00\): .*must hold the same times"
    )
    with pytest.raises(ConfigError, match=message):
        opened(halves[0], halves[3])


def test_each_quantity_that_other_times_have_is_named_with_its_file(opened, make_dataset):
    dataset = make_dataset(days=4)
    early, late = dataset.isel(time=slice(0, 2)), dataset.isel(time=slice(2, 4))
    alone = [early[[name]] for name in ("2m_temperature", "geopotential")]
    with pytest.raises(ConfigError) as refused:
        opened(*alone, late[["specific_humidity"]])
    first, second, rest = str(refused.value).split("; ", 2)
    assert first.startswith("'2m_temperature' in ")
    assert second.startswith("'geopotential' in ")
    assert "to 1979-01-02" in first
    assert first.split(" in ")[1] != second.split(" in ")[1]
    assert rest.startswith("but not in ")
    assert "1979-01-03" in rest


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
