import pytest

from sparta_ray.config import ConfigError
from sparta_ray.variables import DEFINITIONS, PUBLISHED, parse


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
        ("", r"unknown variable ''"),
    ],
)
def test_a_label_that_names_no_variable(label, message):
    with pytest.raises(ConfigError, match=message):
        parse(label)


def test_names_are_their_own_keys():
    assert all(name == definition.name for name, definition in DEFINITIONS.items())
