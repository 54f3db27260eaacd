import numpy as np
import pytest
from matplotlib.collections import QuadMesh

from sparta_ray.base.config import from_tree
from sparta_ray.base.errors import ConfigError
from sparta_ray.base.seeding import derive_seed
from sparta_ray.data.plan.sampling import make_plan
from sparta_ray.data.store.store import Store
from sparta_ray.figures.batch_preview import preview
from sparta_ray.run.settings import Run, splits

LABELS = ("2m_temperature", "geopotential@850", "specific_humidity@850")
TREE = {
    "sampling": {"min_soft_days": 20, "rows_per_batch": 12},
    "views": {"resize": [40, 24], "crop": [36, 20], "filter": 3},
    "data": {"variables": LABELS, "split": {"train": 0.6, "validation": 0.3}},
    "downstream": {"forecast": {}},
    "evaluation": {"climatology_half_window": 200},
}


@pytest.fixture(scope="module")
def run_of(make_store):
    """Return a function that configures a run on a store with gaps on its first 100 days."""
    missing = np.zeros((260, 3, 64, 32), dtype=bool)
    missing[:100, 1, 14:29, 8:15] = True
    path = make_store(days=260, grid=(64, 32), training_days=156, missing=missing)

    def configure(**changes):
        data = TREE["data"] | {"store": path}
        return from_tree(Run, TREE | {"data": data} | changes, "test")

    return configure


@pytest.fixture(scope="module")
def whole(run_of):
    return preview(run_of(), rows=4, variables=LABELS[1:2])


def maps_of(figure):
    return [ax for ax in figure.axes if ax.get_label() == "map"]


def values_of(ax):
    (mesh,) = (c for c in ax.collections if isinstance(c, QuadMesh))
    return np.ma.filled(mesh.get_array(), np.nan).reshape(mesh.get_coordinates().shape[0] - 1, -1).T


def test_rows_are_those_of_the_first_stages_plan(run_of, whole):
    run = run_of()
    store = Store(run.data.store)
    split = splits(run, len(store))["train"]
    seed = derive_seed(run.seed, "stage", 0)
    plan = make_plan(split, run.sampling, run.views, run.mask, seed, "train", 0)
    panels = np.array(maps_of(whole), dtype=object).reshape(4, 5)
    for row, shown in enumerate(panels):
        day, delta = plan.day[row], int(plan.delta[row])
        captions = [ax.get_title(loc="left") for ax in shown]
        for caption, apart in zip(captions, (0, 0, delta, -delta, 0), strict=True):
            assert caption.startswith(str(store.days[day + apart]))
        assert f"Δ = +{delta}," in captions[2]
        assert f"Δ = \u2212{delta}," in captions[3]
        field = store.read_standardised(np.array([day]))[0, 1]
        np.testing.assert_allclose(values_of(shown[0]), field)
        assert [values_of(ax).shape for ax in shown[1:]] == [(36, 20)] * 4
        hidden = [np.isnan(values_of(ax)).mean() for ax in shown[2:]]
        np.testing.assert_allclose(hidden, plan.mask_ratio[row], atol=0.12)
    roles = [ax.get_ylabel().split("\n") for ax in panels[:, 0]]
    assert [role for role, *_ in roles] == ["anchor", "hard negative", "soft negative", "anchor"]
    assert roles[0][1:] == ["geopotential", "850 hPa"]


def test_views_lie_where_they_were_cropped_and_north_is_up(run_of, whole):
    run = run_of()
    store = Store(run.data.store)
    split = splits(run, len(store))["train"]
    seed = derive_seed(run.seed, "stage", 0)
    plan = make_plan(split, run.sampling, run.views, run.mask, seed, "train", 0)
    for row in range(4):
        for number, ax in enumerate(maps_of(whole)[5 * row + 1 : 5 * row + 4]):
            (mesh,) = (c for c in ax.collections if isinstance(c, QuadMesh))
            corners = mesh.get_coordinates()
            i, j = plan.crop[row, number]
            np.testing.assert_allclose(corners[0, 0], [i * 9 - 2.8125, -90 + j * 7.5])
            last = [(i + 36) * 9 - 2.8125, -90 + (j + 20) * 7.5]
            np.testing.assert_allclose(corners[-1, -1], last)
            assert ax.get_ylim() == (-90, 90)


def test_one_colour_scale_in_standard_deviations(whole):
    meshes = [c for ax in maps_of(whole) for c in ax.collections if isinstance(c, QuadMesh)]
    assert len({id(mesh.norm) for mesh in meshes}) == 1
    assert meshes[0].norm.vmin == -meshes[0].norm.vmax
    (bar,) = (ax for ax in whole.axes if "standard deviations" in ax.get_xlabel())
    assert bar.get_xlabel() == "standard deviations from the training days' mean"


def test_the_title_says_what_is_hidden(run_of, whole):
    assert "50 to 90 % hidden on the view, shape points" in whole.get_suptitle()
    mask = {"on": "grid", "ratio": [0.7, 0.7], "shape": {"kind": "block", "size": 45}}
    figure = preview(run_of(mask=mask, sampling={"negatives": False}), rows=1)
    assert "70 % hidden on the grid, shape block" in figure.get_suptitle()
    assert len(maps_of(figure)) == 5
    hidden = np.isnan(values_of(maps_of(figure)[4]))
    assert 0.5 < hidden.mean() < 0.9


def test_what_cannot_be_shown_is_an_error(run_of, tmp_path):
    with pytest.raises(ConfigError, match=r"no variable 'ozone' in the store; it has"):
        preview(run_of(), variables=("ozone",))
    data = TREE["data"] | {"store": f"{tmp_path}/none.zarr"}
    with pytest.raises(ConfigError, match=r"run jobs/prepare_data\.py first"):
        preview(run_of(data=data))
