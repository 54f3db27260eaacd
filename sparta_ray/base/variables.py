"""The lexicon of variables: names and units, also those of others, and how a channel is called."""

import difflib
from dataclasses import dataclass, replace
from typing import NamedTuple

from sparta_ray.base.errors import ConfigError


@dataclass(frozen=True)
class Definition:
    """A physical quantity under its WeatherBench 2 name.

    Attributes:
        name: How configs, stores and reports call it.
        units: The units of everything that is prepared.
        symbol: A short name for figures.
        long_name: A name for readers.
        on_levels: Whether it lies on pressure levels.
        aliases: Short names and CF standard names under which other sources hold it.
        signed: Whether zero is the middle of its values, as for a wind component.
    """

    name: str
    units: str
    symbol: str
    long_name: str
    on_levels: bool
    aliases: tuple[str, ...] = ()
    signed: bool = False


def _surface(name: str, units: str, symbol: str, long_name: str, aliases: str) -> Definition:
    return Definition(name, units, symbol, long_name, False, tuple(aliases.split()))


def _levels(name: str, units: str, symbol: str, long_name: str, aliases: str) -> Definition:
    return Definition(name, units, symbol, long_name, True, tuple(aliases.split()))


# CF calls air at 2 m and wind at 10 m by the same standard names as on pressure levels: those names
# stand with the latter only.
_KNOWN = (
    _surface("2m_temperature", "K", "T2m", "2 m temperature", "t2m 2t tas t2"),
    _levels("temperature", "K", "T", "temperature", "t ta air_temperature"),
    _levels("u_component_of_wind", "m s-1", "u", "eastward wind", "u ua eastward_wind"),
    _levels("v_component_of_wind", "m s-1", "v", "northward wind", "v va northward_wind"),
    _levels("geopotential", "m2 s-2", "Z", "geopotential", "z zg gh hgt geopotential_height"),
    _levels("specific_humidity", "kg kg-1", "q", "specific humidity", "q hus"),
    _levels("relative_humidity", "%", "RH", "relative humidity", "r rh hur"),
    _levels(
        *("vertical_velocity", "Pa s-1", "ω", "vertical velocity"),
        "w wap omega lagrangian_tendency_of_air_pressure",
    ),
    _levels(
        *("vorticity", "s-1", "ζ", "relative vorticity"),
        "vo relative_vorticity atmosphere_relative_vorticity",
    ),
    _surface("2m_dewpoint_temperature", "K", "Td2m", "2 m dew point", "d2m 2d tdps"),
    _surface("10m_u_component_of_wind", "m s-1", "u10m", "10 m eastward wind", "u10 10u uas"),
    _surface("10m_v_component_of_wind", "m s-1", "v10m", "10 m northward wind", "v10 10v vas"),
    _surface("10m_wind_speed", "m s-1", "|u|10m", "10 m wind speed", "si10 10si sfcWind"),
    _surface("100m_u_component_of_wind", "m s-1", "u100m", "100 m eastward wind", "u100 100u"),
    _surface("100m_v_component_of_wind", "m s-1", "v100m", "100 m northward wind", "v100 100v"),
    _surface(
        *("mean_sea_level_pressure", "Pa", "MSLP", "pressure at mean sea level"),
        "msl psl prmsl mslp air_pressure_at_mean_sea_level air_pressure_at_sea_level",
    ),
    _surface("surface_pressure", "Pa", "ps", "surface pressure", "sp ps surface_air_pressure"),
    _surface("sea_surface_temperature", "K", "SST", "sea surface temperature", "sst tos"),
    _surface(
        *("total_column_water_vapour", "kg m-2", "TCWV", "total column water vapour"),
        "tcwv prw atmosphere_mass_content_of_water_vapor",
    ),
    _surface("total_cloud_cover", "1", "TCC", "total cloud cover", "tcc clt cloud_area_fraction"),
)

_SIGNED = ("component_of_wind", "vertical_velocity", "vorticity")

DEFINITIONS = {
    definition.name: replace(definition, signed=definition.name.endswith(_SIGNED))
    for definition in _KNOWN
}


class Conversion(NamedTuple):
    """How values become another unit: ``scale * value + offset``."""

    scale: float = 1.0
    offset: float = 0.0


_SAME = Conversion()
_CELSIUS = Conversion(1.0, 273.15)
_KNOTS = Conversion(1852 / 3600)
_HEIGHT = Conversion(9.80665)  # standard gravity: geopotential height to geopotential
_HUNDREDTH, _HUNDREDFOLD = Conversion(0.01), Conversion(100.0)

CONVERSIONS: dict[str, dict[str, Conversion]] = {
    "K": {
        **dict.fromkeys(("K", "kelvin", "Kelvin", "degK", "deg_K"), _SAME),
        **dict.fromkeys(
            ("degC", "°C", "C", "deg_C", "celsius", "Celsius", "degree_Celsius", "degrees_Celsius"),
            _CELSIUS,
        ),
    },
    "m s-1": {
        **dict.fromkeys(("m s-1", "m/s", "m.s-1", "meter/sec"), _SAME),
        **dict.fromkeys(("km h-1", "km/h"), Conversion(1 / 3.6)),
        **dict.fromkeys(("knot", "knots", "kt"), _KNOTS),
    },
    "m2 s-2": {
        **dict.fromkeys(("m2 s-2", "m2/s2", "J kg-1", "J/kg"), _SAME),
        **dict.fromkeys(("m", "gpm", "geopotential meter", "meters", "metres"), _HEIGHT),
        **dict.fromkeys(("dam", "gpdm"), Conversion(98.0665)),
    },
    "kg kg-1": {
        **dict.fromkeys(("kg kg-1", "kg/kg", "1"), _SAME),
        **dict.fromkeys(("g kg-1", "g/kg", "grams/kg"), Conversion(1e-3)),
    },
    "Pa": {
        "Pa": _SAME,
        **dict.fromkeys(("hPa", "mb", "mbar", "millibar", "millibars"), _HUNDREDFOLD),
        "kPa": Conversion(1e3),
    },
    "Pa s-1": {
        **dict.fromkeys(("Pa s-1", "Pa/s"), _SAME),
        **dict.fromkeys(("hPa s-1", "hPa/s"), _HUNDREDFOLD),
    },
    "s-1": dict.fromkeys(("s-1", "1/s"), _SAME),
    "kg m-2": dict.fromkeys(("kg m-2", "kg/m2", "mm"), _SAME),
    "%": {
        **dict.fromkeys(("%", "percent"), _SAME),
        **dict.fromkeys(("1", "(0 - 1)"), _HUNDREDFOLD),
    },
    "1": {
        **dict.fromkeys(("1", "(0 - 1)"), _SAME),
        **dict.fromkeys(("%", "percent"), _HUNDREDTH),
    },
}
"""For each of our units, the units that become it."""


PLAUSIBLE = {
    "K": (100.0, 400.0),
    "m s-1": (-300.0, 300.0),
    "m2 s-2": (-2e4, 1e6),
    "kg kg-1": (-0.01, 0.1),
    "Pa": (2e4, 1.2e5),
    "Pa s-1": (-100.0, 100.0),
    "s-1": (-0.1, 0.1),
    "kg m-2": (-10.0, 300.0),
    "%": (-100.0, 400.0),
    "1": (-0.1, 1.1),
}
"""For each of our units, what weather stays within by far, in models too and at any level."""


def conversion(units: str, wanted: str) -> Conversion | None:
    """Return how values in `units` become `wanted`, one of our units; None if that is not known.

    ``m**2 s**-2`` and ``m^2 s^-2`` are other spellings of ``m2 s-2``.

    >>> conversion("degC", "K")
    Conversion(scale=1.0, offset=273.15)
    """
    plain = " ".join(units.replace("**", "").replace("^", "").split())
    return CONVERSIONS[wanted].get(plain)


@dataclass(frozen=True)
class Variable:
    """One channel: a quantity, on one pressure level where it has levels.

    Attributes:
        definition: The quantity.
        level: Pressure in hPa, or None for a surface field.
    """

    definition: Definition
    level: int | None = None

    @property
    def label(self) -> str:
        """The name in stores, configs and reports, such as ``geopotential@850``."""
        return self.definition.name + ("" if self.level is None else f"@{self.level}")

    @property
    def symbol(self) -> str:
        """A short name for figures, such as ``Z850``."""
        return self.definition.symbol + ("" if self.level is None else str(self.level))


def parse(label: str) -> Variable:
    """Read a label such as ``2m_temperature`` or ``geopotential@850``.

    Raises:
        ConfigError: Unknown quantity, or a level where there is none or none where one is needed.
    """
    name, at, level = label.partition("@")
    definition = DEFINITIONS.get(name)
    if definition is None:
        raise ConfigError(f"unknown variable {name!r}{_suggestion(name)}")
    if definition.on_levels != bool(at):
        form = f"{name}@850" if definition.on_levels else name
        raise ConfigError(f"variable {label!r}: write it as {form!r} (levels in hPa)")
    if at and not level.isdigit():
        raise ConfigError(f"variable {label!r}: {level!r} is no pressure level in hPa")
    return Variable(definition, int(level) if at else None)


def _suggestion(name: str) -> str:
    """Name what was meant by an alias or a slip; else everything there is."""
    meant = [own for own, definition in DEFINITIONS.items() if name in definition.aliases]
    meant = meant or difflib.get_close_matches(name, DEFINITIONS, n=1)
    return f"; did you mean {meant[0]!r}?" if meant else f"; known are {', '.join(DEFINITIONS)}"


PUBLISHED = (
    "2m_temperature",
    "u_component_of_wind@850",
    "v_component_of_wind@850",
    "geopotential@850",
    "specific_humidity@850",
)
"""The paper's five variables, in its channel order."""
