"""Finished models: a card that says what a model needs to be used on any data, and its weights."""

import json
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import torch
from pydantic import AfterValidator, Field
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from typing_extensions import TypedDict

from sparta_ray.base.config import from_tree, to_tree
from sparta_ray.base.errors import ConfigError
from sparta_ray.base.folder import RunFolder
from sparta_ray.base.records import Axis, Fingerprint, damaged
from sparta_ray.data.plan.views import ViewConfig
from sparta_ray.data.store.statistics import Statistics, StatisticsRecord, complete
from sparta_ray.data.store.store import Store
from sparta_ray.models.sparta import Model, ModelConfig
from sparta_ray.training.stages import ModelKind, build_model


@dataclass(frozen=True)
class ModelCard:
    """What a finished model needs besides its weights to be used on any data.

    Attributes:
        kind: Which model it is.
        config: Its sizes.
        views: Sizes of the views it was trained on.
        variables: Labels of its channels, in order.
        longitude: Degrees east of its grid.
        latitude: Degrees north of its grid.
        statistics: Of the training split, to standardise with.
        fingerprint: Of the store it was trained on.
        simulated: Whether that store holds simulated weather.
    """

    kind: ModelKind
    config: ModelConfig
    views: ViewConfig
    variables: tuple[str, ...]
    longitude: tuple[float, ...]
    latitude: tuple[float, ...]
    statistics: Statistics
    fingerprint: str
    simulated: bool

    @classmethod
    def describe(
        cls, kind: ModelKind, config: ModelConfig, views: ViewConfig, store: Store
    ) -> "ModelCard":
        """Return the card of a model trained on `store`."""
        return cls(
            kind=kind,
            config=config,
            views=views,
            variables=store.variables,
            longitude=tuple(store.longitude.tolist()),
            latitude=tuple(store.latitude.tolist()),
            statistics=store.statistics,
            fingerprint=store.fingerprint,
            simulated=bool(store.provenance.get("simulated", False)),
        )

    @property
    def grid(self) -> tuple[int, int]:
        """(longitudes, latitudes)."""
        return len(self.longitude), len(self.latitude)

    def build(self) -> Model:
        """Return the model with fresh weights."""
        return build_model(self.kind, self.variables, self.grid, self.config)


def save_model(folder: str, card: ModelCard, weights: dict[str, torch.Tensor]) -> None:
    """Write a finished model; the card comes last and makes it count."""
    target = RunFolder(folder)
    contiguous = {name: _portable(tensor) for name, tensor in weights.items()}
    target.write("weights.safetensors", save_safetensors(contiguous))
    tree = asdict(card) | {
        "config": to_tree(card.config),
        "views": to_tree(card.views),
        "statistics": card.statistics.to_json(),
    }
    target.write("model.json", json.dumps(tree, indent=1))


def _portable(tensor: torch.Tensor) -> torch.Tensor:
    """Return a weight as finished models hold it: float32, whatever it was trained in."""
    whole = tensor.detach().cpu().contiguous()
    return whole.float() if whole.is_floating_point() else whole


def has_model(folder: str) -> bool:
    """Return whether a finished model lies in `folder`."""
    return RunFolder(folder).exists("model.json")


def load_model(folder: str) -> tuple[ModelCard, Model]:
    """Read a finished model, in eval mode on the CPU.

    Raises:
        ConfigError: There is none, or its weights are damaged.
    """
    if not has_model(folder):
        raise ConfigError(f"no finished model at {folder}; run jobs/train_sparta.py first")
    source = RunFolder(folder)
    card = _read_card(source)
    weights = source.read_bytes("weights.safetensors")
    try:
        model = card.build()
        model.load_state_dict(load_safetensors(weights))
    except (SafetensorError, RuntimeError, ValueError, TypeError) as error:
        raise ConfigError(
            f"the weights of the model at {folder} are damaged: {error}; {_REMEDY}"
        ) from error
    return card, model.eval()


_REMEDY = "delete that folder and train again, which continues from the last checkpoint"


class _CardRecord(TypedDict):
    """What ``model.json`` holds."""

    kind: ModelKind
    config: dict[str, Any]
    views: dict[str, Any]
    variables: Annotated[list[str], Field(min_length=1)]
    longitude: Axis
    latitude: Axis
    statistics: Annotated[StatisticsRecord, AfterValidator(complete)]
    fingerprint: Fingerprint
    simulated: bool


def _read_card(source: RunFolder) -> ModelCard:
    """Read a model's card.

    Raises:
        ConfigError: It is damaged.
    """
    record, origin = (
        source.read_record("model.json", _CardRecord, _REMEDY),
        source.child("model.json"),
    )
    statistics = Statistics.from_json(record["statistics"])
    if len(statistics.mean) != len(record["variables"]):
        raise damaged(origin, "its statistics are not one for each variable", _REMEDY)
    try:
        config = from_tree(ModelConfig, record["config"], "config")
        views = from_tree(ViewConfig, record["views"], "views")
    except ConfigError as error:
        raise damaged(origin, " ".join(str(error).split()), _REMEDY) from error
    return ModelCard(
        kind=record["kind"],
        config=config,
        views=views,
        variables=tuple(record["variables"]),
        longitude=tuple(record["longitude"]),
        latitude=tuple(record["latitude"]),
        statistics=statistics,
        fingerprint=record["fingerprint"],
        simulated=record["simulated"],
    )
