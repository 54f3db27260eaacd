"""A checkpoint of a run in training: what it holds, how it is written, checked and read."""

import hashlib
import io
import json
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.optim import Optimizer
from typing_extensions import TypedDict

from sparta_ray.base.errors import ConfigError
from sparta_ray.base.folder import RunFolder
from sparta_ray.base.records import Count, decode_json, decoding
from sparta_ray.training.metrics import RowMeans
from sparta_ray.training.state import Best, StageState, no_means

STATE, CARD = "state.pt", "state.json"
"""A checkpoint's content, and its card, written last: stage, step, length and SHA-256."""


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


class _Card(TypedDict):
    """What a checkpoint's card must hold to check its content."""

    bytes: Count
    sha256: str


def save_state(folder: RunFolder, saved: SavedState) -> None:
    """Write a checkpoint into a folder of its own, the card last."""
    buffer = io.BytesIO()
    torch.save(vars(saved), buffer)
    content = buffer.getvalue()
    card = {
        "stage": saved.stage,
        "position": saved.position,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    folder.write(STATE, content)
    folder.write(CARD, json.dumps(card))


def checkpoint_problem(folder: RunFolder) -> str | None:
    """Return what is wrong with a checkpoint's files, or None if they are as they were written."""
    return _read_checked(folder)[1]


def _read_checked(folder: RunFolder) -> tuple[bytes, str | None]:
    """Return a checkpoint's content, and what is wrong with it by its card."""
    missing = [name for name in (STATE, CARD) if not folder.exists(name)]
    if missing:
        return b"", f"{' and '.join(missing)} missing"
    content = folder.read_bytes(STATE)
    try:
        card = decode_json(folder.read_bytes(CARD), _Card, CARD, "")
    except ConfigError:
        return content, f"{CARD} is not readable"
    size, digest = card["bytes"], card["sha256"]
    if len(content) != size:
        return content, f"{STATE} has {len(content):,} bytes, {size:,} were written"
    found = hashlib.sha256(content).hexdigest()
    if found != digest:
        return content, f"{STATE} has sha256 {found[:12]}…, written was {digest[:12]}…"
    return content, None


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


def load_state(folder: RunFolder, fingerprint: str | None) -> SavedState:
    """Read a checkpoint; it is data, and no code in it is run.

    Args:
        folder: Where it lies.
        fingerprint: Of the run's data; None accepts a checkpoint of any.

    Raises:
        ConfigError: It is damaged, or was trained on another store.
    """
    content, problem = _read_checked(folder)
    if problem is not None:
        raise ConfigError(f"the checkpoint {folder.path} is damaged: {problem}")
    with decoding(
        f"the checkpoint {folder.path}", "choose another, or train again under another name"
    ):
        tree = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        saved = SavedState(**tree)
    if fingerprint is not None and saved.fingerprint != fingerprint:
        raise ConfigError(
            f"the checkpoint {folder.path} was trained on data {saved.fingerprint}, not on this "
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
        _shape_as_weights(state.optimiser)
        state.scheduler.load_state_dict(saved.scheduler)


def _shape_as_weights(optimiser: Optimizer) -> None:
    """Give what an optimiser remembers of a weight that weight's shape.

    Checkpoints of graph fusion from before it was `GATConv` have the same values in another shape.
    """
    for weight, memory in optimiser.state.items():
        for name, value in memory.items():
            if isinstance(value, torch.Tensor) and value.ndim > 0:
                memory[name] = value.view(weight.shape)
