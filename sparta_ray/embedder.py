"""Embeddings from a finished model: fields in, sparse or whole, h out, and back.

Legend: T days, B rows, V variables, X × Y grid, I × J view, D embedding.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from sparta_ray.base.seeding import derive_seed
from sparta_ray.data.batches.expand import sparse_view, unpack_mask
from sparta_ray.data.batches.view_operator import ViewOperator
from sparta_ray.data.plan.masking import MaskConfig, draw_mask, packed_size
from sparta_ray.models.sparta import Model
from sparta_ray.training.model_card import ModelCard, load_model

Array = NDArray[np.float32]

_ROWS = 128


class Embedder:
    """A frozen encoder and decoder with all they need to take physical fields."""

    def __init__(self, card: ModelCard, model: Model, device: torch.device | None = None):
        self.card = card
        self.device = device or torch.device("cpu")
        self._model = model.to(self.device).eval().requires_grad_(False)
        operator = ViewOperator(card.grid, card.views, card.config.mask_channels)
        self._operator = operator.to(self.device)

    @classmethod
    def from_pretrained(
        cls, folder: str, kind: str = "sparta", device: torch.device | None = None
    ) -> "Embedder":
        """Load a finished model from a run folder.

        Args:
            folder: The run's folder, such as ``runs/demo``; a path or fsspec URL.
            kind: ``sparta`` or ``autoencoder``.
            device: Where to compute.

        Raises:
            ConfigError: The run has no such finished model.
        """
        return cls(*load_model(f"{folder.rstrip('/')}/models/{kind}"), device)

    def encode(self, fields: xr.DataArray) -> xr.DataArray:
        """Return embeddings of physical fields; NaN marks what was not observed.

        Days are read a few at a time, so that fields from a file or a Dask array need not fit into
        memory.

        Args:
            fields: Dims (time, variable, longitude, latitude), in any order, on the model's grid,
                with the model's variables; units of the variables' definitions. Coordinates may
                be rounded, as float32 does.

        Returns:
            Dims (time, component). A missing value hides the points of the view that its cell
            covers, half a cell either way.

        Raises:
            ValueError: Dims, variables or grid are not the model's, or there is no day.
        """
        ordered = self._checked(fields)
        chunks = (ordered.isel(time=rows).values for rows in _chunks(ordered.sizes["time"]))
        encoded = [self.encode_unmasked(self._standardise(chunk)) for chunk in chunks]
        h_TD = torch.cat(encoded).numpy()
        return xr.DataArray(h_TD, dims=("time", "component"), coords={"time": fields.time})

    def decode(self, h_TD: xr.DataArray) -> xr.DataArray:
        """Return physical fields of embeddings with dims (time, component).

        Raises:
            ValueError: Dims or components are not the model's, or there is no day.
        """
        _check_dims(h_TD, ("time", "component"))
        if h_TD.sizes["component"] != self.card.config.embedding:
            raise ValueError(
                f"the embeddings have {h_TD.sizes['component']} components, this model's have "
                f"{self.card.config.embedding}; decode them with the model that encoded them"
            )
        values = h_TD.transpose("time", "component").values.astype(np.float32)
        fields = self.decode_physical(torch.from_numpy(values))
        return xr.DataArray(
            fields,
            dims=("time", "variable", "longitude", "latitude"),
            coords={
                "time": h_TD.time,
                "variable": list(self.card.variables),
                "longitude": list(self.card.longitude),
                "latitude": list(self.card.latitude),
            },
        )

    def encode_masked(
        self, x_TVXY: Array, mask: MaskConfig, seed: int, keys: NDArray[np.int64]
    ) -> Tensor:
        """Return embeddings of standardised fields under random masks, each encoded once.

        Args:
            x_TVXY: Standardised fields; NaN, a missing value, is hidden besides.
            mask: What is hidden.
            seed: Of this set of masks, such as one epoch's.
            keys: One number for each field, such as its day: a field's mask depends on the seed
                and on this alone, shape (T,).

        Returns:
            h, shape (T, D), on the CPU.
        """
        encoded = []
        for rows in _chunks(len(x_TVXY)):
            encoded.append(self._encode(*self.masked_views(x_TVXY[rows], mask, seed, keys[rows])))
        return torch.cat(encoded)

    def masked_views(
        self, x_BVXY: Array, mask: MaskConfig, seed: int, keys: NDArray[np.int64]
    ) -> tuple[Tensor, Tensor]:
        """Return what `encode_masked` sees: input views, 0 where hidden, and what is not hidden.

        Returns:
            Views and booleans, both of shape (B, V, I, J), on the model's device.
        """
        size = mask.size(len(self.card.variables), self.card.grid, self.card.views.crop)
        bits = np.empty((len(keys), packed_size(int(np.prod(size)))), dtype=np.uint8)
        for row, key in enumerate(keys):
            rng = np.random.default_rng(derive_seed(seed, "mask", int(key)))
            ratio = rng.uniform(*mask.ratio)
            bits[row] = draw_mask(mask.shape, int(rng.integers(0, 2**63)), ratio, size)
        kept = unpack_mask(torch.from_numpy(bits).to(self.device), size)
        view, seen = self._view(x_BVXY, **{f"on_{mask.on}": kept})
        assert seen is not None
        return view, seen

    def encode_unmasked(self, x_TVXY: Array) -> Tensor:
        """Return embeddings of standardised fields with nothing hidden but what is NaN.

        Returns:
            h, shape (T, D), on the CPU.
        """
        views = (self._view(x_TVXY[rows]) for rows in _chunks(len(x_TVXY)))
        return torch.cat([self._encode(*view) for view in views])

    def encode_crops(self, x_TVXY: Array, seed: int, keys: NDArray[np.int64]) -> Tensor:
        """Return embeddings of contrastive views: randomly cropped and smoothed, not masked.

        Args:
            x_TVXY: Standardised fields; NaN is a missing value.
            seed: Of this set of crops.
            keys: One number for each field, which its crop depends on, shape (T,).

        Returns:
            h, shape (T, D), on the CPU.
        """
        choices = len(self._operator.crop_x), len(self._operator.crop_y)
        draws = (np.random.default_rng(derive_seed(seed, "crop", int(key))) for key in keys)
        offsets = [draw.integers(choices) for draw in draws]
        offset_T2 = torch.from_numpy(np.stack(offsets)).to(self.device)
        encoded = []
        for rows in _chunks(len(x_TVXY)):
            encoded.append(self._encode(*self._view(x_TVXY[rows], offset_B2=offset_T2[rows])))
        return torch.cat(encoded)

    def encode_native_grid(self, x_TVXY: Array) -> Tensor:
        """Return embeddings of fields on their own grid, without a view; (T, D), on the CPU.

        The published evaluation of generated embeddings encodes its real set this way. NaN is 0.
        """
        chunks = (torch.from_numpy(x_TVXY[rows]).to(self.device) for rows in _chunks(len(x_TVXY)))
        return torch.cat([self._encode(x.nan_to_num(), ~x.isnan()) for x in chunks])

    def decode_physical(self, h_BD: Tensor) -> Array:
        """Return physical fields, shape (B, V, X, Y)."""
        chunks = [h_BD[rows].to(self.device) for rows in _chunks(len(h_BD))]
        with torch.inference_mode():
            x_BVXY = torch.cat([self._model.decoder(chunk).float().cpu() for chunk in chunks])
        statistics = self.card.statistics
        mean, std = statistics.mean[:, None, None], statistics.std[:, None, None]
        return (x_BVXY.numpy() * std + mean).astype(np.float32)

    def _standardise(self, fields: NDArray[np.floating]) -> Array:
        statistics = self.card.statistics
        mean, std = statistics.mean[:, None, None], statistics.std[:, None, None]
        return ((fields - mean) / std).astype(np.float32)

    def _view(self, x_BVXY: Array, **places: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return input views of fields, and which of their values are seen."""
        gaps = bool(np.isnan(x_BVXY).any())
        fields = torch.from_numpy(x_BVXY).to(self.device)
        return sparse_view(fields, self._operator, gaps=gaps, **places)

    @torch.inference_mode()
    def _encode(self, view_BVIJ: Tensor, seen_BVIJ: Tensor | None) -> Tensor:
        h_BD: Tensor = self._model.encoder(self._operator.encoder_input(view_BVIJ, seen_BVIJ))
        return h_BD.float().cpu()

    def _checked(self, fields: xr.DataArray) -> xr.DataArray:
        _check_dims(fields, ("time", *_CARD))
        ordered = fields.transpose("time", *_CARD)
        for name in _CARD:
            found, wanted = ordered[name].values.tolist(), list(getattr(self.card, _CARD[name]))
            same = found == wanted if name == "variable" else _same_points(found, wanted)
            if not same:
                raise ValueError(
                    f"the fields' {name} is {_shown(found)}, the model was trained on "
                    f"{_shown(wanted)}; select, reorder or regrid to match"
                )
        return ordered


def _check_dims(given: xr.DataArray, dims: tuple[str, ...]) -> None:
    """Refuse an array of other dims, of days without dates, or of none."""
    if missing := [name for name in dims if name not in given.dims]:
        raise ValueError(
            f"the array has dims {given.dims} and lacks {missing}; it takes {dims}, and one day is "
            "array.expand_dims('time')"
        )
    if more := [name for name in given.dims if name not in dims]:
        raise ValueError(f"the array has further dims {more}; select one entry of each")
    if unlabelled := [name for name in dims if name != "component" and name not in given.coords]:
        raise ValueError(f"the array has no coordinates along {unlabelled}; assign_coords them")
    if given.sizes["time"] == 0:
        raise ValueError("the array has no day; was a selection of `time` outside of the data?")


def _same_points(found: Sequence[float], wanted: Sequence[float]) -> bool:
    """Return whether coordinates agree to a thousandth of their spacing; float32 rounds by less."""
    spacing = np.abs(np.diff(wanted)).min()
    return len(found) == len(wanted) and np.allclose(found, wanted, rtol=0, atol=1e-3 * spacing)


_CARD = {"variable": "variables", "longitude": "longitude", "latitude": "latitude"}


def _chunks(rows: int) -> Iterator[slice]:
    for start in range(0, rows, _ROWS):
        yield slice(start, min(start + _ROWS, rows))


def _shown(values: list[object]) -> str:
    return str(values) if len(values) <= 6 else f"{[*values[:2], '…', *values[-2:]]}"
