import pytest

from sparta_ray.base.errors import ConfigError
from sparta_ray.base.variables import CONVERSIONS, DEFINITIONS, PUBLISHED, conversion, parse


def test_a_label_is_read_and_written_back():
    variable = parse("geopotential@850")
    assert variable.definition.units == "m2 s-2"
    assert (variable.level, variable.label, variable.symbol) == (850, "geopotential@850", "Z850")
    surface = parse("2m_temperature")
    assert (surface.level, surface.label, surface.symbol) == (None, "2m_temperature", "T2m")


def test_the_published_variables_in_their_order():
    assert [parse(label).symbol for label in PUBLISHED] == ["T2m", "u850", "v850", "Z850", "q850"]


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("geopotential", r"'geopotential': write it as 'geopotential@850'"),
        ("2m_temperature@850", r"write it as '2m_temperature'"),
        ("geopotential@", r"'' is no pressure level"),
        ("geopotential@surface", r"'surface' is no pressure level"),
        ("geopotential@-850", r"'-850' is no pressure level"),
        ("height@850", r"unknown variable 'height'; known are 2m_temperature, temperature"),
        ("t2m", r"unknown variable 't2m'; did you mean '2m_temperature'\?"),
        ("z@850", r"unknown variable 'z'; did you mean 'geopotential'\?"),
        ("geopotental@850", r"did you mean 'geopotential'\?"),
        ("", r"unknown variable ''"),
    ],
)
def test_a_label_that_names_no_variable(label, message):
    with pytest.raises(ConfigError, match=message):
        parse(label)


def test_names_are_their_own_keys_and_mean_one_thing():
    assert all(name == definition.name for name, definition in DEFINITIONS.items())
    every = [name for own in DEFINITIONS.values() for name in (own.name, *own.aliases)]
    assert len(set(every)) == len(every)
    symbols = [definition.symbol for definition in DEFINITIONS.values()]
    assert len(set(symbols)) == len(symbols)


def test_every_quantity_is_understood_in_its_own_units():
    for definition in DEFINITIONS.values():
        assert conversion(definition.units, definition.units) == (1, 0)
    assert CONVERSIONS.keys() == {definition.units for definition in DEFINITIONS.values()}


@pytest.mark.parametrize(
    ("value", "units", "wanted", "expected"),
    [
        (-40.0, "degC", "K", 233.15),
        (0.0, "degrees_Celsius", "K", 273.15),
        (1500.0, "m", "m2 s-2", 14709.975),
        (150.0, "gpdm", "m2 s-2", 14709.975),
        (7.0, "g kg**-1", "kg kg-1", 0.007),
        (1013.25, "hPa", "Pa", 101325.0),
        (36.0, "km/h", "m s-1", 10.0),
        (0.5, "1", "%", 50.0),
        (75.0, "%", "1", 0.75),
        (3.0, "m**2 s**-2", "m2 s-2", 3.0),
        (3.0, "m^2  s^-2", "m2 s-2", 3.0),
    ],
)
def test_conversions_against_hand_computed_values(value, units, wanted, expected):
    scale, offset = conversion(units, wanted)
    assert scale * value + offset == pytest.approx(expected, rel=1e-12)


def test_units_that_are_not_known_have_no_conversion():
    assert conversion("furlong", "m s-1") is None
    assert conversion("K", "m s-1") is None
