import numpy as np
import pytest
import xarray as xr

from sparta_ray.base.variables import DEFINITIONS
from sparta_ray.figures.display import decimals_for, display_of, number
from sparta_ray.figures.maps import field_maps

LABELS = [f"{name}@500" if known.on_levels else name for name, known in DEFINITIONS.items()]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (12345.678, "12\u2009346"),
        (-3.14159, "\u22123.14"),
        (0.0123, "0.0123"),
        (9.5e-38, "9.50\u2009×\u200910⁻³⁸"),
        (0.0, "0"),
    ],
)
def test_a_number_is_shown_with_its_useful_digits(value, text):
    assert number(value, decimals_for([value])) == text


def test_numbers_of_one_row_keep_their_power():
    decimals = decimals_for([9.5e-38])
    assert number(1.25e-37, decimals) == "1.25\u2009×\u200910⁻³⁷"
    assert number(0.0, decimals) == "0.000"


@pytest.mark.parametrize(
    ("label", "units", "factor", "signed"),
    [
        ("mean_sea_level_pressure", "hPa", 0.01, False),
        ("surface_pressure", "hPa", 0.01, False),
        ("relative_humidity@850", "%", 1, False),
        ("vertical_velocity@500", "Pa s⁻¹", 1, True),
        ("vorticity@500", "10⁻⁵ s⁻¹", 1e5, True),
        ("total_column_water_vapour", "kg m⁻²", 1, False),
        ("total_cloud_cover", "%", 100, False),
        ("geopotential@850", "m² s⁻²", 1, False),
        ("specific_humidity@850", "g kg⁻¹", 1000, False),
        ("10m_u_component_of_wind", "m s⁻¹", 1, True),
        ("10m_wind_speed", "m s⁻¹", 1, False),
        ("2m_temperature", "K", 1, False),
    ],
)
def test_how_a_variable_is_shown(label, units, factor, signed):
    shown = display_of(label)
    assert (shown.units, shown.factor, shown.signed) == (units, factor, signed)


def test_every_variable_of_the_lexicon_can_be_shown():
    for label in LABELS:
        shown = display_of(label)
        assert shown.units
        assert shown.factor > 0
        assert shown.symbol


def test_every_variable_of_the_lexicon_can_be_drawn():
    rng = np.random.default_rng(0)
    panels = xr.DataArray(
        rng.standard_normal((2, len(LABELS), 4, 3)).astype(np.float32),
        dims=("panel", "variable", "longitude", "latitude"),
        coords={
            "panel": ["truth", "error"],
            "variable": LABELS,
            "longitude": [0.0, 90.0, 180.0, 270.0],
            "latitude": [-60.0, 0.0, 60.0],
        },
    )
    assert field_maps(panels, "every variable").axes
