"""The lexicon of variables: names, units, and how a column of the model's input is called."""

from dataclasses import dataclass

from sparta_ray.config import ConfigError


@dataclass(frozen=True)
class Definition:
    """A physical quantity under its WeatherBench 2 name."""

    name: str
    units: str
    symbol: str
    long_name: str
    on_levels: bool


DEFINITIONS = {
    definition.name: definition
    for definition in (
        Definition("2m_temperature", "K", "T2m", "2 m temperature", on_levels=False),
        Definition("temperature", "K", "T", "temperature", on_levels=True),
        Definition("u_component_of_wind", "m s-1", "u", "eastward wind", on_levels=True),
        Definition("v_component_of_wind", "m s-1", "v", "northward wind", on_levels=True),
        Definition("geopotential", "m2 s-2", "Z", "geopotential", on_levels=True),
        Definition("specific_humidity", "kg kg-1", "q", "specific humidity", on_levels=True),
    )
}


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
        raise ConfigError(f"unknown variable {name!r}; known are {', '.join(DEFINITIONS)}")
    if definition.on_levels != bool(at):
        form = f"{name}@850" if definition.on_levels else name
        raise ConfigError(f"variable {label!r}: write it as {form!r} (levels in hPa)")
    if at and not level.isdigit():
        raise ConfigError(f"variable {label!r}: {level!r} is no pressure level in hPa")
    return Variable(definition, int(level) if at else None)


PUBLISHED = (
    "2m_temperature",
    "u_component_of_wind@850",
    "v_component_of_wind@850",
    "geopotential@850",
    "specific_humidity@850",
)
"""The paper's five variables, in its channel order."""
