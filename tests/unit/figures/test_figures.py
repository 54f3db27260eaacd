import io

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.collections import LineCollection, QuadMesh
from matplotlib.colors import to_hex

from sparta_ray.figures.coastlines import coastlines, split_at_seam
from sparta_ray.figures.curves import (
    confusion_matrix,
    loss_curves,
    score_by_lead,
    variable_scores_by_lead,
)
from sparta_ray.figures.embeddings import embedding_pca, smoothness_series
from sparta_ray.figures.maps import HIDDEN, field_maps

VARIABLES = ["2m_temperature", "u_component_of_wind@850", "specific_humidity@850"]


def title(figure):
    return figure.get_suptitle().replace("\n", " ")


def labels(figure):
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


@pytest.fixture
def panels():
    """Truth, input, forecast and error on an odd grid with latitudes from north to south."""
    rng = np.random.default_rng(0)
    values = rng.normal(0, 1, (4, 3, 9, 5)) * np.array([5, 8, 2e-3])[:, None, None]
    values += np.array([280, 0, 8e-3])[:, None, None]
    values[1, :, ::2] = np.nan
    values[3] = values[2] - values[0]
    return xr.DataArray(
        values,
        dims=("panel", "variable", "longitude", "latitude"),
        coords={
            "panel": ["truth", "input", "forecast", "error"],
            "variable": VARIABLES,
            "longitude": np.arange(9) * 40.0,
            "latitude": np.linspace(72, -72, 5),
        },
    )


def maps_of(figure):
    """Return the map axes in rows, and their meshes."""
    axes = [ax for ax in figure.axes if ax.get_label() == "map"]
    grid = np.array(axes, dtype=object).reshape(3, -1)
    meshes = [next(c for c in ax.collections if isinstance(c, QuadMesh)) for ax in grid.ravel()]
    return grid, np.array(meshes, dtype=object).reshape(grid.shape)


def bar_axes(figure):
    return [ax for ax in figure.axes if ax.get_label() == "bar"]


def test_maps_have_north_up_coastlines_and_degrees(panels):
    grid, meshes = maps_of(field_maps(panels, "A day"))
    assert grid.shape == (3, 4)
    for ax in grid.ravel():
        assert ax.get_ylim() == (-90, 90)
        assert ax.get_xlim() == (-20, 340)
        assert sum(
            isinstance(c, LineCollection) and len(c.get_segments()) > 100 for c in ax.collections
        )
    assert [t.get_text() for t in grid[2, 0].get_xticklabels()] == ["0°", "90°E", "180°", "90°W"]
    assert [t.get_text() for t in grid[0, 0].get_yticklabels()] == ["60°S", "0°", "60°N"]
    corners = meshes[0, 0].get_coordinates()
    assert corners[0, 0, 1] == 90  # the first row of values, 72°N, is drawn on top
    np.testing.assert_allclose(meshes[0, 0].get_array()[0], panels[0, 0, :, 0])


def test_maps_share_a_scale_among_fields_and_centre_errors(panels):
    figure = field_maps(panels, "A day")
    _, meshes = maps_of(figure)
    for row in meshes:
        fields, error = row[:3], row[3]
        assert len({(mesh.norm.vmin, mesh.norm.vmax) for mesh in fields}) == 1
        assert error.norm.vmin == -error.norm.vmax
        assert error.norm.vmax != fields[0].norm.vmax
    assert meshes[1, 0].norm.vmin == -meshes[1, 0].norm.vmax  # wind is signed
    assert meshes[0, 0].norm.vmin > 200
    bars = [ax.get_title(loc="left") for ax in bar_axes(figure)]
    assert bars == ["K", "K", "m s⁻¹", "m s⁻¹", "g kg⁻¹", "g kg⁻¹"]
    assert 2 < meshes[2, 0].norm.vmax < 20  # g/kg, not kg/kg


def test_hidden_values_are_grey_and_a_constant_field_draws(panels):
    grid, meshes = maps_of(field_maps(panels, "A day"))
    assert np.ma.getmaskarray(meshes[0, 1].get_array()).sum() == 25
    assert to_hex(grid[0, 1].get_facecolor()) == HIDDEN
    field_maps(panels * 0 + 3, "Constant")
    truth_only = field_maps(panels.isel(panel=[0]), "Truth only")
    assert len(bar_axes(truth_only)) == 3


def test_coastlines_stay_within_the_map():
    lines = coastlines()
    assert len(lines) > 100
    every = np.concatenate(lines)
    assert every[:, 0].min() >= 0
    assert every[:, 0].max() <= 360
    assert np.abs(every[:, 1]).max() <= 90
    assert max(np.abs(np.diff(line[:, 0])).max() for line in lines) < 30
    date_line = [np.isclose(line[:, 0], 180) for line in lines]
    assert not any((at[1:] & at[:-1]).any() for at in date_line)  # cut polygons, not coasts


def test_a_line_is_cut_at_the_seam():
    pieces = split_at_seam(np.array([[-10.0, 0], [10, 4], [20, 4]]))
    np.testing.assert_allclose(pieces[0], [[350, 0], [360, 2]])
    np.testing.assert_allclose(pieces[1], [[0, 2], [10, 4], [20, 4]])
    back = split_at_seam(np.array([[5.0, 0], [355, 2], [5, 4]]))
    np.testing.assert_allclose(back[1], [[360, 1], [355, 2], [360, 3]])
    np.testing.assert_allclose(back[2], [[0, 3], [5, 4]])


def test_loss_curves_have_a_panel_for_each_loss_and_state_the_lowest():
    history = pd.DataFrame(
        {
            "epoch": [0, 1, 2],
            "train_loss": [8.0, 6, 5],
            "validation_loss": [8.1, 7.2, 7.4],
            "train_nt_xent": [7.9, 5.9, 4.9],
            "validation_nt_xent": [8.0, np.nan, 7.3],
            "lr": [1e-4, 1e-4, 1e-5],
        }
    )
    figure = loss_curves(history, "pretrain", {"nt_xent": 11.06})
    assert [ax.get_title(loc="left") for ax in figure.axes] == [
        "total loss", "NT-Xent", "learning rate"
    ]  # fmt: skip
    assert all(ax.get_xlabel() == "epoch" and ax.get_ylabel() for ax in figure.axes)
    assert labels(figure) == ["training", "validation"]
    assert "pretrain" in title(figure)
    assert "lowest 7.20 after epoch 1" in title(figure)
    nt_xent = figure.axes[1]
    assert nt_xent.lines[1].get_xdata().tolist() == [0, 2]  # no value is no point
    assert nt_xent.lines[2].get_ydata()[0] == 11.06
    assert figure.axes[2].get_yscale() == "log"


def lead_scores():
    rows = [("persistence", 1, 2.0), ("persistence", 10, 5.0), ("climatology", 1, 3.4)]
    rows += [("climatology", 10, 3.5), ("sparta", 1, 1.0), ("sparta", 1, 3.0), ("sparta", 10, 4.0)]
    return pd.DataFrame(rows, columns=["label", "lead", "value"])


def test_scores_by_lead_average_seeds_and_dash_baselines():
    figure = score_by_lead(lead_scores(), "rrmse", "%")
    (ax,) = figure.axes
    assert ax.get_xlabel() == "lead time (days)"
    assert ax.get_ylabel() == "RRMSE (%)"
    assert labels(figure) == ["SPARTA", "Persistence", "Climatology"]
    model, persistence, _ = ax.lines
    assert model.get_ydata().tolist() == [2.0, 4.0]
    assert model.get_linestyle() == "-"
    assert persistence.get_linestyle() != "-"
    assert title(figure).endswith("lowest at 10 days is climatology, 3.50 %")


def test_scores_of_each_variable_have_its_units():
    scores = pd.concat([lead_scores().assign(variable=v) for v in VARIABLES])
    figure = variable_scores_by_lead(scores, "rmse")
    assert [ax.get_ylabel() for ax in figure.axes] == [
        "RMSE of T2m (K)", "RMSE of u850 (m s⁻¹)", "RMSE of q850 (g kg⁻¹)"
    ]  # fmt: skip
    assert figure.axes[2].lines[1].get_ydata().tolist() == [2000, 5000]
    correlations = variable_scores_by_lead(scores, "acc", si_units=False)
    assert correlations.axes[2].get_ylabel() == "ACC of q850"
    assert correlations.axes[2].lines[1].get_ydata().tolist() == [2, 5]


def test_confusion_matrix_shows_counts_and_accuracy():
    figure = confusion_matrix(np.array([[8, 2, 0], [0, 5, 5], [0, 0, 0]]), ["DJF", "MAM", "JJA"])
    ax = figure.axes[0]
    assert ax.texts[0].get_text() == "8\n80 %"
    assert title(figure) == "65.0 % of 20 days classified correctly"
    assert ax.get_ylabel() == "true season"


def test_embedding_plane_breaks_the_line_where_days_are_missing():
    times = pd.DatetimeIndex(["2000-01-01", "2000-01-02", "2000-06-01", "2000-06-02"])
    components = {"autoencoder": np.arange(8.0).reshape(4, 2), "sparta": np.eye(4)[:, :2]}
    share = {"autoencoder": np.array([0.5, 0.25]), "sparta": np.array([0.25, 0.125])}
    figure = embedding_pca(components, times, share)
    sparta, autoencoder = figure.axes[:2]
    assert sparta.get_title(loc="left") == "SPARTA"
    assert autoencoder.get_xlabel() == "component 1 (50 % of variance)"
    assert len(sparta.lines) == 2
    assert len(sparta.collections[0].get_offsets()) == 4


def test_smoothness_series_shows_raw_and_relative_distances():
    times = pd.date_range("2000-01-01", periods=5)
    temporal, cycle = {"sparta": np.array([1.0, 2, 3, 4])}, {"sparta": np.array([2.0, 4, 6])}
    figure = smoothness_series(temporal, cycle, {"sparta": 2.0}, times)
    raw, _, relative, relative_cycle = figure.axes
    assert raw.lines[0].get_ydata().tolist() == [1, 2, 3, 4]
    assert relative.lines[0].get_ydata().tolist() == [0.5, 1, 1.5, 2]
    assert relative_cycle.lines[0].get_ydata().tolist() == [1, 2, 3]
    assert "SPARTA 1.25" in title(figure)
    assert relative.get_xlabel() == "day"


def test_figures_leave_the_users_settings_alone():
    before = dict(mpl.rcParams)
    score_by_lead(lead_scores(), "rrmse", "%")
    assert dict(mpl.rcParams) == before


def test_a_figure_saved_under_other_settings_keeps_its_ticks_and_labels_within():
    losses = {"train_loss": [13.6, 7.5, 5.1], "validation_loss": [12.0, 7.4, 5.2]}
    others = {f"train_{name}": [9.1, 6.3, 5.4] for name in ("nt_xent", "a", "b", "c")}
    figure = loss_curves(pd.DataFrame({"epoch": [0, 1, 2]} | losses | others), "joint")
    ax = figure.axes[0]
    ticks = [tick.get_text() for tick in ax.get_yticklabels()]
    with mpl.rc_context({"ytick.labelsize": 20}):
        figure.savefig(io.BytesIO(), format="svg")
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ticks
    assert ax.yaxis.label.get_window_extent().x0 > -1  # points
