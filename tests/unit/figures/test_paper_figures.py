import numpy as np
import pytest
import xarray as xr
from matplotlib.collections import QuadMesh

from sparta_ray.evaluation.robustness import MEASURES, PLACES, SHAPES
from sparta_ray.figures.paper import (
    distance_series,
    forecast_errors,
    pairs_pca,
    robustness_curves,
    shared_ends,
    trajectories,
)

LABELS = ["2m_temperature", "u_component_of_wind@850", "specific_humidity@850"]


def days(count):
    return np.datetime64("1980-01-01", "ns") + np.arange(count) * np.timedelta64(1, "D")


def embeddings(count=40, seed=0):
    values = np.random.default_rng(seed).normal(size=(count, 6))
    return xr.DataArray(values, dims=("time", "component"), coords={"time": days(count)})


def errors(seed):
    values = np.random.default_rng(seed).normal(size=(3, 3, 9, 5)) * seed
    return xr.DataArray(
        values,
        dims=("panel", "variable", "longitude", "latitude"),
        coords={
            "panel": ["truth", "forecast", "error"],
            "variable": LABELS,
            "longitude": np.arange(9) * 40.0,
            "latitude": np.linspace(72, -72, 5),
        },
    )


def labelled(figure):
    return [ax for ax in figure.axes if ax.get_xlabel() or ax.get_ylabel()]


@pytest.mark.parametrize(("order", "length"), [(1, 39), (2, 38)])
def test_distances_are_drawn_plain_and_relative(order, length):
    figure = distance_series({"sparta": embeddings(), "autoencoder": embeddings(seed=1)}, order)
    plain, relative = figure.axes
    assert [len(line.get_ydata()) for line in plain.lines] == [length] * 2
    assert len(relative.lines) == 2
    assert np.mean(relative.lines[0].get_ydata()) == pytest.approx({1: 2, 2: 6}[order], rel=0.3)
    assert plain.get_ylabel() == "squared distance (no units)"


def test_twenty_pairs_are_joined_and_told_from_others():
    first = embeddings(30)
    pairs = xr.concat([first, first + 0.01], dim="view")
    figure = pairs_pca(pairs, "simclr")
    assert len(figure.axes[0].lines) == 20
    assert figure.get_suptitle().startswith("SimCLR: in this plane, views of one day are 0.0")


def test_trajectories_have_an_arrow_for_each_window():
    figure = trajectories({"sparta": embeddings(40)}, look_back=5, stride=5)
    arrows = figure.axes[0].collections[-1]
    assert arrows.N == 7
    assert figure.get_suptitle().startswith("7 windows of 5 days")


def test_robustness_has_a_panel_for_each_shape_and_a_line_for_each_place():
    shapes = [shape.kind for shape in SHAPES]
    curve = xr.DataArray(
        np.random.default_rng(0).uniform(size=(2, 2, 2, len(shapes), 3)),
        dims=("seed", "measure", "place", "shape", "ratio"),
        coords={
            "seed": [0, 1], "measure": list(MEASURES), "place": list(PLACES), "shape": shapes,
            "ratio": [0, 0.5, 0.99],
        },
    )  # fmt: skip
    figure = robustness_curves({"sparta": curve, "autoencoder": curve}, "agreement")
    assert len(figure.axes) == len(shapes)
    assert all(len(ax.lines) == 4 for ax in figure.axes)
    points = curve.sel(measure="agreement", place="view", shape=shapes[0])
    np.testing.assert_allclose(figure.axes[0].lines[0].get_ydata(), points.mean("seed"))
    band = figure.axes[0].collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == (points.min(), points.max())
    assert len(figure.legends[0].get_texts()) == 2


def test_forecast_errors_share_their_scales_and_have_north_up():
    small, large = errors(1), errors(3)
    ends = shared_ends([small, large])
    for label in LABELS:
        panel = large.sel(panel="error", variable=label)
        assert ends[label] == float(abs(panel).max())
    figures = [forecast_errors(panels, ends, "Errors") for panels in (small, large)]
    for figure in figures:
        meshes = [c for ax in figure.axes for c in ax.collections if isinstance(c, QuadMesh)]
        assert meshes[0].norm.vmax == ends[LABELS[0]]
        maps = labelled(figure)[: len(LABELS)]
        assert all(ax.get_ylim() == (-90, 90) for ax in maps)
    humidity = [ax.get_ylabel() for ax in figures[0].axes if "g kg" in ax.get_ylabel()]
    assert humidity == ["absolute error (g kg⁻¹)"]
