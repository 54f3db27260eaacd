"""Checkpoints of a run in training, and finished models: weights without pickled code."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors

from sparta_ray.config import ConfigError, from_tree, to_tree
from sparta_ray.data.statistics import Statistics
from sparta_ray.data.store import Store
from sparta_ray.data.views import ViewConfig
from sparta_ray.models.sparta import Model, ModelConfig
from sparta_ray.run import Run
from sparta_ray.run_folder import RunFolder
from sparta_ray.training.loop import Best, StageState, no_means
from sparta_ray.training.metrics import RowMeans
from sparta_ray.training.stages import ModelKind, build_model

STATE, CARD = "state.pt", "state.json"
"""A checkpoint's content, and what it is known by; the card is written last."""


@dataclass(frozen=True)
class SavedState:
    """A checkpoint, read: which stage it belongs to and the state of every part.

    Attributes:
        stage: Index of the stage.
        kind: Of the stage.
        position: Position in its schedule.
        fingerprint: Of the store the run trains on.
        model: State of the model.
        optimiser: State of the optimiser; None before a stage's first step.
        scheduler: State of the learning-rate schedule; None before a stage's first step.
        means: Sums behind the means of an epoch that is not over; empty between epochs.
        best: The stage's best epoch so far, its loss and weights; empty before its first.
        precision: In which the networks ran; empty if it was not written down.
    """

    stage: int
    kind: str
    position: int
    fingerprint: str
    model: dict[str, Any]
    optimiser: dict[str, Any] | None
    scheduler: dict[str, Any] | None
    means: dict[str, dict[str, float]] = field(default_factory=dict)
    best: dict[str, Any] = field(default_factory=dict)
    precision: str = ""

    def check_precision(self, precision: str) -> None:
        """Refuse to continue in another precision, which ``auto`` may be on another machine.

        Raises:
            ConfigError: It is another.
        """
        if self.precision not in ("", precision):
            raise ConfigError(
                f"the checkpoint was trained in {self.precision}, and training.precision comes to "
                f"{precision} on this machine; set it to {self.precision} and give "
                "--allow-changed-config, or continue on a machine like the first; "
                f"--allow-changed-config alone continues in {precision}"
            )


def save_state(folder: Path, saved: SavedState) -> None:
    """Write a checkpoint into a folder; the caller makes the folder count only when whole."""
    torch.save(vars(saved), folder / STATE)
    with (folder / STATE).open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    size = (folder / STATE).stat().st_size
    card = {"stage": saved.stage, "position": saved.position, "bytes": size, "sha256": digest}
    (folder / CARD).write_text(json.dumps(card))


def damage(folder: RunFolder) -> str | None:
    """Return what is wrong with a checkpoint's files, or None if they are as they were written."""
    missing = [name for name in (STATE, CARD) if not folder.exists(name)]
    if missing:
        return f"{' and '.join(missing)} missing"
    try:
        card = json.loads(folder.read(CARD))
        size, digest = int(card["bytes"]), str(card["sha256"])
    except (ValueError, KeyError, TypeError):
        return f"{CARD} is not readable"
    content = folder.read_bytes(STATE)
    if len(content) != size:
        return f"{STATE} has {len(content):,} bytes, {size:,} were written"
    found = hashlib.sha256(content).hexdigest()
    if found != digest:
        return f"{STATE} has sha256 {found[:12]}…, written was {digest[:12]}…"
    return None


def capture(state: StageState, stage: int, fingerprint: str, precision: str) -> SavedState:
    """Return what a checkpoint in the middle of a stage holds."""
    return SavedState(
        stage,
        state.module.stage.kind,
        state.position,
        fingerprint,
        state.module.model.state_dict(),
        state.optimiser.state_dict(),
        state.scheduler.state_dict(),
        {name: means.state() for name, means in state.means.items() if means.rows},
        {} if state.best is None else dict(vars(state.best)),
        precision,
    )


def load_state(folder: Path, fingerprint: str | None) -> SavedState:
    """Read a checkpoint; it is data, and nothing in it is run.

    Args:
        folder: Where it lies.
        fingerprint: Of the run's data; None accepts a checkpoint of any.

    Raises:
        ConfigError: It is damaged, or was trained on another store.
    """
    wrong = damage(RunFolder(str(folder)))
    if wrong is not None:
        raise ConfigError(f"the checkpoint {folder} is damaged: {wrong}")
    saved = SavedState(**torch.load(folder / STATE, map_location="cpu", weights_only=True))
    if fingerprint is not None and saved.fingerprint != fingerprint:
        raise ConfigError(
            f"the checkpoint {folder} was trained on data {saved.fingerprint}, not on this "
            f"store's {fingerprint}; choose another run name, or the store it belongs to"
        )
    return saved


def restore(state: StageState, saved: SavedState) -> None:
    """Continue `state` from a checkpoint of its stage.

    Raises:
        ConfigError: The checkpoint is of a model of another size or kind.
    """
    try:
        state.module.model.load_state_dict(saved.model)
    except RuntimeError as error:
        raise ConfigError(
            f"the checkpoint's weights do not fit the model as it is configured now: {error}; set "
            "model and training.stages as they were, or choose another run name"
        ) from error
    state.best = Best(**saved.best) if saved.best else None
    state.position = saved.position
    state.means = no_means() | {name: RowMeans.of_state(m) for name, m in saved.means.items()}
    if saved.optimiser is not None and saved.scheduler is not None:
        state.optimiser.load_state_dict(saved.optimiser)
        state.scheduler.load_state_dict(saved.scheduler)


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
            simulated=bool(store.provenance["simulated"]),
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


def is_trained(run: Run) -> bool:
    """Return whether all models of a run lie in its folder."""
    folder = RunFolder(run.path)
    return all(has_model(folder.child("models", kind)) for kind in run.models)


def load_model(folder: str) -> tuple[ModelCard, Model]:
    """Read a finished model, in eval mode on the CPU.

    Raises:
        ConfigError: There is none, or its weights are damaged.
    """
    if not has_model(folder):
        raise ConfigError(f"no finished model at {folder}; run jobs/train_sparta.py first")
    source = RunFolder(folder)
    tree = json.loads(source.read("model.json"))
    card = ModelCard(
        **tree
        | {
            "config": from_tree(ModelConfig, tree["config"], folder),
            "views": from_tree(ViewConfig, tree["views"], folder),
            "statistics": Statistics.from_json(tree["statistics"]),
            **{name: tuple(tree[name]) for name in ("variables", "longitude", "latitude")},
        }
    )
    model = card.build()
    try:
        model.load_state_dict(load_safetensors(source.read_bytes("weights.safetensors")))
    except (SafetensorError, RuntimeError) as error:
        raise ConfigError(
            f"the weights of the model at {folder} are damaged: {error}; delete that folder and "
            "train again, which continues from the last checkpoint"
        ) from error
    return card, model.eval()
