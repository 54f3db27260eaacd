"""Replay of a batch whose loss or gradient was not finite, from a file that holds all it needs."""

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from typing_extensions import TypedDict

from sparta_ray.base.config import from_tree
from sparta_ray.base.errors import ConfigError
from sparta_ray.base.paths import open_filesystem
from sparta_ray.base.records import Axis, Count, damaged, decode_json, decoding
from sparta_ray.data.batches.compact import CompactBatch
from sparta_ray.data.batches.view_operator import ViewOperator
from sparta_ray.run.settings import Run
from sparta_ray.training.batch_losses import batch_losses, norm_of_gradient
from sparta_ray.training.precision import Precision, weights_type
from sparta_ray.training.stage_module import StageModule
from sparta_ray.training.stages import build_model, model_kind

_REMEDY = "the run's error names its file"
_TENSORS = ("weights", "batch")


class _Words(TypedDict):
    """The parts of a failed step that are no tensors; see `Failure`."""

    error: str
    run: dict[str, Any]
    stage: Count
    epoch: Count
    training: bool
    seed: int
    precision: Precision
    days: list[str]
    latitude: Axis


@dataclass(frozen=True)
class Failure:
    """A step that failed.

    Attributes:
        error: What was said of it.
        run: The run's settings, as a tree.
        stage: Index of the stage.
        epoch: From 0.
        training: Whether it was a training batch, not one of validation.
        seed: Of its dropout.
        precision: The networks ran in.
        days: Date of each row's day.
        latitude: Degrees north of the fields' grid.
        weights: The model's, before the step.
        batch: The compact batch, the rows of all ranks.
    """

    error: str
    run: dict[str, Any]
    stage: int
    epoch: int
    training: bool
    seed: int
    precision: Precision
    days: list[str]
    latitude: list[float]
    weights: dict[str, Tensor]
    batch: dict[str, Tensor]

    def to_bytes(self) -> bytes:
        """Return the file's content."""
        content = io.BytesIO()
        torch.save(vars(self), content)
        return content.getvalue()

    @classmethod
    def read(cls, path: str) -> "Failure":
        """Read a file at a path or URL; nothing in it is run.

        Raises:
            ConfigError: There is no such file, or it is something else.
        """
        filesystem, place = open_filesystem(path)
        try:
            content = bytes(filesystem.cat_file(place))
        except FileNotFoundError as error:
            raise ConfigError(
                f"no failed step at {path}; the run's error names its file"
            ) from error
        except OSError as error:
            raise ConfigError(f"cannot read {path}: {error.strerror or error}") from error
        try:
            parts = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
            failure = cls(**parts)
            failure._check(path)
            return failure
        except MemoryError:
            raise
        except Exception as error:  # PyTorch's reader raises a dozen kinds
            raise ConfigError(
                f"{path} is not a failed step, or is damaged; the run's error names its file"
            ) from error

    def _check(self, path: str) -> None:
        """Refuse parts of other types, or that do not belong together.

        Raises:
            ConfigError: Names what is wrong.
        """
        words = {name: value for name, value in vars(self).items() if name not in _TENSORS}
        decode_json(json.dumps(words), _Words, path, _REMEDY)
        for name in _TENSORS:
            tensors = getattr(self, name)
            if not all(isinstance(value, Tensor) for value in dict(tensors).values()):
                raise damaged(path, f"{name} are not tensors", _REMEDY)
        rows = {len(part) for part in self.batch.values()}
        if rows != {len(self.days)} or self.batch["day"].ndim != 4:
            raise damaged(path, f"the batch has {rows} rows and {len(self.days)} dates", _REMEDY)


def join_rows(parts: Sequence[CompactBatch]) -> dict[str, Tensor]:
    """Return the ranks' parts of a compact batch as one."""
    return {
        name: torch.from_numpy(np.concatenate([part[name] for part in parts])) for name in parts[0]
    }


def replay(failure: Failure, precision: Precision | None = None) -> Iterator[str]:
    """Do the step again in this process, on the CPU, and say line by line where it goes wrong.

    Args:
        failure: The step.
        precision: Of the networks; None for what they ran in.
    """
    run = from_tree(Run, failure.run, "run")
    taken = precision or failure.precision
    batch: CompactBatch = {name: part.numpy() for name, part in failure.batch.items()}
    with decoding("the failed step", _REMEDY):
        stage = run.training.stages[failure.stage]
        size = batch["day"].shape[2], batch["day"].shape[3]
        model = build_model(model_kind(stage), run.data.variables, size, run.model)
        model.load_state_dict(failure.weights)
        area_Y = run.training.latitude_weights(np.array(failure.latitude))
        module = StageModule(stage, model, run.training.contrastive, area_Y).train(failure.training)
        module = module.to(weights_type(taken))
        operator = ViewOperator(size, run.views, run.model.mask_channels).to(weights_type(taken))
    yield failure.error
    yield from _extremes(failure)
    broken = _watch_outputs(model)
    with decoding("the failed step", _REMEDY):  # its batch may not fit its settings
        terms = batch_losses(module, operator, batch, failure.epoch, failure.seed, taken)
    yield from (f"loss {name}: {float(value.detach()):.6g}" for name, value in terms.items())
    yield f"first layer whose output is not finite: {broken[0] if broken else 'none'}"
    if failure.training:
        terms["loss"].backward()  # type: ignore[no-untyped-call]
        yield f"gradient norm: {float(norm_of_gradient(module)):.6g}"
        bad = [n for n, p in model.named_parameters() if p.grad is not None and _bad(p.grad)]
        yield f"parameters whose gradient is not finite: {', '.join(bad) or 'none'}"


def _extremes(failure: Failure) -> Iterator[str]:
    """Say which row of each field strays farthest from the mean, and which hold infinities."""
    for name in ("day", "after", "before"):
        if name not in failure.batch:
            continue
        field = failure.batch[name].float().flatten(1)
        largest = field.abs().nan_to_num(0.0, torch.inf).amax(1)
        row = int(largest.argmax())
        yield (
            f"{name}: largest value {float(largest[row]):.3g} standard deviations, in row {row} "
            f"({failure.days[row]}); {int(field.isnan().sum())} missing"
        )


def _watch_outputs(model: nn.Module) -> list[str]:
    """Return a list that will name each layer whose output is not finite, in order."""
    broken: list[str] = []

    def watch(name: str) -> Any:
        def look(module: nn.Module, inputs: object, output: object) -> None:
            if isinstance(output, Tensor) and _bad(output):
                broken.append(name)

        return look

    for name, layer in model.named_modules():
        if not list(layer.children()):
            layer.register_forward_hook(watch(name))
    return broken


def _bad(x: Tensor) -> bool:
    return not bool(x.isfinite().all())
