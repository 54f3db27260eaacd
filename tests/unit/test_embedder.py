import tracemalloc

import numpy as np
import pytest
import torch
import xarray as xr
from numpy.testing import assert_allclose, assert_array_equal
from torch.nn import functional

from sparta_ray.base.errors import ConfigError
from sparta_ray.data.plan.mask_shapes import Block, Points
from sparta_ray.data.plan.masking import MaskConfig
from sparta_ray.data.plan.views import ViewConfig
from sparta_ray.data.store.store import Store
from sparta_ray.embedder import Embedder
from sparta_ray.models.sparta import ModelConfig
from sparta_ray.training.model_card import ModelCard, save_model

VIEWS = ViewConfig(resize=(50, 30), crop=(48, 27), filter=3)
CONFIG = ModelConfig(width=0.1, embedding=16, projection=8)
DAYS = 30
CLOSE = 5e-3
"""Rounding, raised by norms over the last map's few points; embeddings are of order 1."""


@pytest.fixture(scope="module")
def store(make_store):
    return Store(make_store(days=DAYS, grid=(64, 32)))


@pytest.fixture(scope="module")
def embedder(store):
    card = ModelCard.describe("sparta", CONFIG, VIEWS, store)
    torch.manual_seed(0)
    return Embedder(card, card.build())


@pytest.fixture
def fields(store):
    days = np.arange(7)
    coordinates = {
        "time": store.days[days].astype("datetime64[ns]"),
        "variable": list(store.variables),
        "longitude": store.longitude,
        "latitude": store.latitude,
    }
    return xr.DataArray(store.read(days), coordinates, tuple(coordinates))


def test_fields_become_embeddings_and_embeddings_fields(embedder, fields):
    h = embedder.encode(fields)
    assert (h.dims, h.shape) == (("time", "component"), (7, 16))
    assert_array_equal(h.time, fields.time)
    decoded = embedder.decode(h)
    assert decoded.dims == fields.dims
    assert decoded.dtype == np.float32
    for name in fields.dims:
        assert_array_equal(decoded[name], fields[name])


def test_an_embedding_is_the_encoders_of_the_standardised_resized_field(embedder, store, fields):
    x = torch.from_numpy(store.read_standardised(np.arange(7)))
    view = functional.interpolate(x, size=VIEWS.crop, mode="bicubic", align_corners=False)
    model = embedder._model
    with torch.inference_mode():
        expected = model.encoder(view)
        decoded = model.decoder(expected).numpy()
    assert_allclose(embedder.encode(fields), expected, atol=CLOSE)
    assert_allclose(embedder.encode_unmasked(x.numpy()), expected, atol=CLOSE)
    assert_allclose(embedder.decode_physical(expected), store.to_physical(decoded), rtol=1e-5)


def test_dims_may_stand_in_any_order(embedder, fields):
    turned = fields.transpose("latitude", "time", "variable", "longitude")
    assert_array_equal(embedder.encode(turned), embedder.encode(fields))


def test_more_days_than_fit_a_chunk(embedder, fields):
    many = xr.concat([fields] * 20, dim="time")
    h = embedder.encode(many)
    assert h.shape == (140, 16)
    assert_allclose(h[133:], embedder.encode(fields), atol=CLOSE)


def test_days_are_read_a_few_at_a_time(embedder, fields, tmp_path):
    many = xr.concat([fields] * 150, dim="time").assign_coords(time=np.arange(1050))
    many.to_netcdf(tmp_path / "many.nc", engine="h5netcdf")

    def encoded_and_peak(days):
        with xr.open_dataarray(
            tmp_path / "many.nc", engine="h5netcdf", decode_times=False, cache=False
        ) as lazy:
            tracemalloc.start()
            h = embedder.encode(lazy.isel(time=slice(days)))
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        return h, peak

    _, few = encoded_and_peak(210)
    h, peak = encoded_and_peak(1050)
    assert_allclose(h[1043:], embedder.encode(fields), atol=CLOSE)
    assert peak < 1.1 * few


def test_coordinates_may_be_rounded_but_not_shifted(embedder, fields):
    single = fields.assign_coords(
        longitude=fields.longitude.astype("float32"), latitude=fields.latitude.astype("float32")
    )
    assert_array_equal(embedder.encode(single), embedder.encode(fields))
    with pytest.raises(ValueError, match="longitude is"):
        embedder.encode(fields.assign_coords(longitude=fields.longitude + 0.05))


def test_double_precision_embeddings_are_decoded(embedder, fields):
    h = embedder.encode(fields)
    assert_array_equal(embedder.decode(h.astype("float64")), embedder.decode(h))
    assert_array_equal(embedder.decode(h.transpose()), embedder.decode(h))


def test_other_variables_or_another_grid_are_refused(embedder, fields):
    with pytest.raises(
        ValueError, match=r"variable is \['geopotential@850'.*trained on \['2m_temp"
    ):
        embedder.encode(fields.isel(variable=[1, 0, 2]))
    with pytest.raises(ValueError, match=r"latitude is .*trained on \[-87\.1875, -81\.5625, '…'"):
        embedder.encode(fields.isel(latitude=slice(None, None, -1)))
    with pytest.raises(ValueError, match="longitude is"):
        embedder.encode(fields.isel(longitude=slice(0, 32)))
    with pytest.raises(ValueError, match="latitude"):
        embedder.encode(fields.rename(latitude="lat"))


def test_arrays_of_other_shapes_are_refused_with_the_remedy(embedder, fields):
    with pytest.raises(ValueError, match=r"lacks \['time'\]; .* array\.expand_dims\('time'\)"):
        embedder.encode(fields.isel(time=0))
    one_day = embedder.encode(fields.isel(time=0).expand_dims("time"))
    assert_array_equal(one_day.time, fields.time[:1])
    with pytest.raises(ValueError, match="the array has no day"):
        embedder.encode(fields.sel(time=slice("2050", None)))
    with pytest.raises(ValueError, match=r"further dims \['member'\]"):
        embedder.encode(fields.expand_dims("member"))
    with pytest.raises(ValueError, match=r"no coordinates along \['variable'\]"):
        embedder.encode(fields.drop_vars("variable"))
    h = embedder.encode(fields)
    with pytest.raises(ValueError, match=r"15 components, this model's have 16"):
        embedder.decode(h.isel(component=slice(15)))
    with pytest.raises(ValueError, match="the array has no day"):
        embedder.decode(h.isel(time=slice(0)))


def test_gaps_are_hidden_points(embedder, store, fields):
    gappy = fields.copy()
    gappy[2, 1] = np.nan  # a whole variable
    gappy[3, :, 10:20, 5:] = np.nan
    h = embedder.encode(gappy)
    assert np.isfinite(h).all()
    whole = embedder.encode(fields)
    assert_allclose(h[[0, 1, 4, 5, 6]], whole[[0, 1, 4, 5, 6]], atol=CLOSE)
    assert (np.abs(h - whole)[[2, 3]].max("component") > 4 * CLOSE).all()

    x = torch.from_numpy(store.read_standardised(np.array([2])))
    view = functional.interpolate(x, size=VIEWS.crop, mode="bicubic", align_corners=False)
    view[:, 1] = 0
    with torch.inference_mode():
        expected = embedder._model.encoder(view)
    assert_allclose(h[2:3], expected, atol=CLOSE)


def test_a_gap_hides_the_points_nearest_to_its_cells(embedder, store, fields):
    gappy = fields.copy()
    gappy[3, 1, 10:20, 5:12] = np.nan
    x = torch.from_numpy(store.read_standardised(np.array([3])))
    x[0, 1, 10:20, 5:12] = 0
    view = functional.interpolate(x, size=VIEWS.crop, mode="bicubic", align_corners=False)
    longitude, latitude = (
        np.floor((np.arange(size) + 0.5) * cells / size)
        for size, cells in zip(VIEWS.crop, (64, 32), strict=True)
    )
    inside = np.outer((longitude >= 10) & (longitude < 20), (latitude >= 5) & (latitude < 12))
    hidden = torch.from_numpy(inside)
    shown = view.clone()
    view[0, 1, hidden] = 0
    assert (view != shown).sum() > 10
    with torch.inference_mode():
        expected, unmasked = embedder._model.encoder(view), embedder._model.encoder(shown)
    assert not np.allclose(unmasked, expected, atol=2 * CLOSE)
    assert_allclose(embedder.encode(gappy)[3:4], expected, atol=CLOSE)


def test_what_stands_in_a_gap_does_not_leak_into_the_embedding(embedder, fields):
    one, two = fields.copy(), fields.copy()
    two[3, 0, 10:20, 5:12] += 50.0
    for gappy in (one, two):
        gappy[3, 0, 10:20, 5:12] = np.nan
    assert_array_equal(embedder.encode(one), embedder.encode(two))


def test_a_fields_mask_depends_on_its_seed_and_key_alone(embedder, store):
    days = np.arange(9)
    x, mask = store.read_standardised(days), MaskConfig(ratio=(0.2, 0.9))
    whole = embedder.encode_masked(x, mask, 5, days)
    some = np.array([7, 2])
    assert_allclose(embedder.encode_masked(x[some], mask, 5, some), whole[some], atol=CLOSE)
    with_others = embedder.encode_masked(x[:3], mask, 5, np.array([40, 1, 41]))
    assert_allclose(with_others[1], whole[1], atol=CLOSE)
    assert not np.allclose(with_others[0], whole[0], atol=4 * CLOSE)
    other_seed = embedder.encode_masked(x, mask, 6, days)
    assert ((other_seed - whole).abs().amax(dim=1) > 4 * CLOSE).all()


@pytest.mark.parametrize("shape", [Points(), Block(size=40)])
def test_a_mask_on_the_grid_is_a_gap(embedder, store, fields, shape):
    days, mask = np.arange(7), MaskConfig(on="grid", shape=shape)
    x = store.read_standardised(days)
    _, kept = embedder.masked_views(x, mask, 3, days)
    # Every cell spans at least one point of this view's longitudes; find the hidden ones there.
    nearest = [
        np.floor((np.arange(size) + 0.5) * cells / size).astype(int)
        for size, cells in zip(VIEWS.crop, (64, 32), strict=True)
    ]
    gappy = x.copy()
    for row, variable, i, j in np.argwhere(~kept.numpy()):
        gappy[row, variable, nearest[0][i], nearest[1][j]] = np.nan
    assert np.isnan(gappy).any()
    assert torch.equal(embedder.masked_views(gappy, mask, 3, days)[1], kept)
    whole_view, seen = embedder.masked_views(gappy, MaskConfig(ratio=(0.0, 0.0)), 3, days)
    assert torch.equal(seen, kept)
    assert (whole_view[~kept] == 0).all()


def test_missing_values_are_hidden_besides_the_masked_ones(embedder, store):
    days, mask = np.arange(6), MaskConfig(ratio=(0.5, 0.5))
    x = store.read_standardised(days)
    gappy = x.copy()
    gappy[1, 2] = np.nan
    gappy[2] = np.nan
    whole, sparse = (embedder.encode_masked(fields, mask, 0, days) for fields in (x, gappy))
    assert sparse.isfinite().all()
    others = [0, 3, 4, 5]
    assert_allclose(sparse[others], whole[others], atol=CLOSE)
    _, kept = embedder.masked_views(gappy, mask, 0, days)
    _, kept_of_whole = embedder.masked_views(x, mask, 0, days)
    assert not kept[1, 2].any()
    assert not kept[2].any()
    assert torch.equal(kept[1, :2], kept_of_whole[1, :2])
    for encode in (embedder.encode_unmasked, embedder.encode_native_grid):
        assert encode(gappy).isfinite().all()
        assert_allclose(encode(gappy)[others], encode(x)[others], atol=CLOSE)


def test_a_mask_that_hides_nothing_changes_nothing(embedder, store):
    days = np.arange(4)
    x = store.read_standardised(days)
    masked = embedder.encode_masked(x, MaskConfig(ratio=(0.0, 0.0)), 0, days)
    assert_allclose(masked, embedder.encode_unmasked(x), atol=CLOSE)


def test_the_share_hidden_is_the_masks(embedder, store):
    days = np.arange(12)
    _, kept = embedder.masked_views(
        store.read_standardised(days), MaskConfig(ratio=(0.7, 0.7)), 0, days
    )
    assert kept.shape == (12, 3, 48, 27)
    assert_allclose(kept.float().mean(dim=(1, 2, 3)), 0.3, atol=0.04)


def test_from_a_run_folder(embedder, fields, tmp_path):
    save_model(f"{tmp_path}/models/sparta", embedder.card, embedder._model.state_dict())
    again = Embedder.from_pretrained(f"{tmp_path}/")
    assert_array_equal(again.encode(fields), embedder.encode(fields))
    with pytest.raises(ConfigError, match=r"no finished model at .*models/autoencoder"):
        Embedder.from_pretrained(str(tmp_path), "autoencoder")
