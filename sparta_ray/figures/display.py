"""How variables, models, settings and numbers are shown to a reader."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from sparta_ray.base.durations import StepLength
from sparta_ray.base.variables import parse
from sparta_ray.metrics.records import BASELINES, is_baseline, is_bound

PUBLISHED_NAMES = {
    "sparta_early_hn_cycle": "SPARTA early fusion, HN + cycle",
    "sparta_early_hn": "SPARTA early fusion, HN",
    "sparta_early_cycle": "SPARTA early fusion, cycle",
    "sparta_early": "SPARTA early fusion",
    "sparta_late_attention": "SPARTA late fusion, self-attention",
    "sparta_late_graph": "SPARTA late fusion, graph",
    "autoencoder": "autoencoder",
    "barlow_twins": "Barlow Twins",
    "simclr": "SimCLR",
    "supcon": "supervised contrastive",
}
"""Readable names of the published variants; HN stands for hard negatives."""

_VARIANT = re.compile("sparta(_(early|late)(_[a-z]+)*)?|barlow_twins|simclr|supcon")

_SCALED = {
    "kg kg-1": (1e3, "g kg⁻¹"),
    "Pa": (1e-2, "hPa"),
    "s-1": (1e5, "10⁻⁵ s⁻¹"),
    "1": (100.0, "%"),
}
"""By SI units: what values are multiplied by for readers, and the units that they are then in."""

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Display:
    """How a variable is shown.

    Attributes:
        symbol: Short name, such as ``Z850``.
        name: Long name with its level, such as ``geopotential, 850 hPa``.
        units: The units shown.
        factor: Converts SI values to these units.
        signed: Whether zero is the natural centre, as for wind components.
    """

    symbol: str
    name: str
    units: str
    factor: float
    signed: bool


def display_of(label: str) -> Display:
    """Return how the variable of a label such as ``geopotential@850`` is shown."""
    variable = parse(label)
    definition = variable.definition
    factor, units = _SCALED.get(definition.units, (1.0, _typeset(definition.units)))
    return Display(
        symbol=variable.symbol,
        name=definition.long_name + (f", {variable.level} hPa" if variable.level else ""),
        units=units,
        factor=factor,
        signed=definition.signed,
    )


def _typeset(units: str) -> str:
    """Return SI units with raised exponents: ``m2 s-2`` becomes ``m² s⁻²``."""
    return re.sub(r"(?<=[A-Za-z])-?\d+", lambda found: found[0].translate(_RAISED), units)


def model_name(model: str) -> str:
    """Return a model's name as written in a heading, such as ``SPARTA`` or ``Mean field``."""
    name = in_sentence(model)
    return name if name.startswith("SPARTA") else name[:1].upper() + name[1:]


def setting_name(setting: str, step: StepLength) -> str:
    """Return a readable name of a forecast setting such as ``lookback5_stride10``, in real time."""
    known = re.fullmatch(r"lookback(\d+)_stride(\d+)", setting)
    if known is None:
        return setting.replace("_", " ")
    look_back, stride = (step.lasting(int(steps)) for steps in known.groups())
    every = "every day" if stride == "1 day" else f"every {stride}"
    return f"look-back {look_back}, training windows starting {every}"


def in_sentence(model: str) -> str:
    """Return a model's name as written within a sentence, such as ``autoencoder``."""
    return _VARIANT.sub(lambda found: PUBLISHED_NAMES.get(found[0], "SPARTA"), model)


def model_order(models: Iterable[str]) -> list[str]:
    """Return the distinct models, SPARTA first, the baselines last, the others as they come."""
    distinct = dict.fromkeys(models)
    learnt = [model for model in distinct if not is_baseline(model)]
    return [
        *sorted(learnt, key=lambda model: "sparta" not in model),
        *(model for model in BASELINES if model in distinct),
        *(model for model in distinct if is_bound(model)),
    ]


def decimals_for(values: Iterable[float]) -> int:
    """Return the decimals that show the smallest value to 3 digits, the largest to at most 4."""
    sizes = [math.floor(math.log10(abs(value))) for value in values if value != 0]
    if not sizes:
        return 0
    return max(0, min(2 - min(sizes), 3 - max(sizes)))


def number(value: float, decimals: int) -> str:
    """Format a number with a true minus sign and thin spaces between thousands.

    Past six decimals it is three digits and a power of ten.
    """
    if value == 0:
        decimals = min(decimals, 3)
    if decimals <= 6:
        return f"{value:,.{decimals}f}".replace(",", "\u2009").replace("-", "\u2212")
    digits, exponent = f"{value:.2e}".split("e")
    power = str(int(exponent)).translate(_RAISED)
    return f"{digits}\u2009×\u200910{power}".replace("-", "\u2212")
