"""The JSON schema of a small config, whose docstrings say all that a schema can."""

from typing import Annotated, Literal

import pytest
from jsonschema import Draft202012Validator, ValidationError
from pydantic import Discriminator, Field
from pydantic.dataclasses import dataclass

from sparta_ray.base.config import STRICT
from sparta_ray.base.schema import descriptions, json_schema


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Wheels:
    """What all vehicles have.

    Attributes:
        pressure: Pressure of the tyres, which
            falls with time [bar].
    """

    pressure: float = Field(default=2.5, gt=0)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Bicycle(Wheels):
    """Pedals.

    Attributes:
        pressure: Higher than a car's [bar].
        gears: How many; None for a fixed gear,
            as in ``track`` racing.

    Example:
        made: up.
    """

    kind: Literal["bicycle"] = "bicycle"
    gears: int | None = None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Car(Wheels):
    """A motor."""

    kind: Literal["car"] = "car"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Garage:
    """What is parked.

    Attributes:
        vehicle: The best one.
        sizes: Width and length [m].
    """

    vehicle: Annotated[Bicycle | Car, Discriminator("kind")] = Field(default_factory=Bicycle)
    sizes: tuple[float, float]


def test_descriptions_come_from_the_class_and_its_bases():
    assert descriptions(Car) == {
        "kind": "Chooses this kind of section.",
        "pressure": "Pressure of the tyres, which falls with time [bar].",
    }
    assert descriptions(Bicycle) == {
        "kind": "Chooses this kind of section.",
        "pressure": "Higher than a car's [bar].",
        "gears": "How many; `null` for a fixed gear, as in `track` racing.",
    }


def test_schema_has_descriptions_defaults_and_bounds():
    schema = json_schema(Garage)
    assert schema["required"] == ["sizes"]
    assert schema["description"] == "What is parked."
    assert list(schema["properties"]) == ["extends", "vehicle", "sizes"]
    vehicle = schema["properties"]["vehicle"]
    assert vehicle["description"] == "The best one."
    assert vehicle["default"] == {"pressure": 2.5, "kind": "bicycle", "gears": None}
    bicycle = schema["$defs"]["Bicycle"]
    assert list(bicycle["properties"]) == ["kind", "pressure", "gears"]
    assert bicycle["properties"]["pressure"] == {
        "type": "number",
        "exclusiveMinimum": 0,
        "default": 2.5,
        "description": "Higher than a car's [bar].",
    }


@pytest.mark.parametrize(
    "tree",
    [
        {},
        {"sizes": [1]},
        {"sizes": [1, 2], "colour": "red"},
        {"sizes": [1, 2], "vehicle": {"gears": 3}},
        {"sizes": [1, 2], "vehicle": {"kind": "car", "gears": 3}},
        {"sizes": [1, 2], "vehicle": {"kind": "car", "pressure": 0}},
    ],
)
def test_schema_refuses_what_the_config_refuses(tree):
    with pytest.raises(ValidationError):
        Draft202012Validator(json_schema(Garage)).validate(tree)


def test_schema_takes_what_the_config_takes():
    validator = Draft202012Validator(json_schema(Garage))
    validator.validate({"sizes": [1, 2]})
    validator.validate({"extends": "a.yaml", "sizes": [1, 2.5], "vehicle": {"kind": "car"}})
