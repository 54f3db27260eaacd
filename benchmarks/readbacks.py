"""How often a training step reads a number back from its device, for which it has to wait."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.harness import Row, Setting
from benchmarks.sample import Sample, sample
from benchmarks.steps import batch_of, model_of
from sparta_ray.data.plan.schedule import Schedule
from sparta_ray.training.loop import StageLoop
from sparta_ray.training.plateau import PlateauConfig
from sparta_ray.training.stage_module import StageModule
from sparta_ray.training.stages import ContrastiveConfig, PretrainStage
from sparta_ray.training.state import StageState
from sparta_ray.training.step_report import StepReport

ATEN = torch.ops.aten
READS = {ATEN._local_scalar_dense, ATEN.equal, ATEN.nonzero, ATEN.masked_select, ATEN._unique2}
"""Operators whose result, or its size, the host must know before it goes on."""


class ReadBacks(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch does not type it
    """Counts, while it is entered, the operators that make the host wait for the device.

    On a CPU nothing is waited for, but the operators are the same. Not counted is an optimiser's
    own counter of steps, which PyTorch keeps on the host.

    Attributes:
        found: Their names, in order.
    """

    def __init__(self, optimiser: Optimizer):
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: list[str] = []
        self._optimiser = optimiser

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        by_mask = func.overloadpacket in (ATEN.index, ATEN.index_put_) and any(
            isinstance(index, Tensor) and index.dtype == torch.bool for index in args[1]
        )
        if (func.overloadpacket in READS or by_mask) and not self._is_step_counter(args[0]):
            self.found.append(str(func))
        return func(*args, **(kwargs or {}))

    def _is_step_counter(self, x: object) -> bool:
        return any(x is state.get("step") for state in self._optimiser.state.values())


def measure(setting: Setting) -> Iterator[Row]:
    """Count the reads of a training step, and of one whose finiteness is read at once."""
    s = sample(setting)
    ours, plain = (_reads(s, check) for check in (False, True))
    yield Row(
        "numbers a training step reads back from its device; plain: its loss and gradient checked "
        "at once",
        "",
        ours,
        plain,
        target="0",
        reached=ours == 0,
    )


def _reads(s: Sample, check: bool, steps: int = 2) -> float:
    """Return the reads of a step, which may look at each step whether it was finite."""
    stage = PretrainStage(epochs=1)
    module = StageModule(stage, model_of(s), ContrastiveConfig())
    state = StageState.start(module, stage.lr, PlateauConfig())
    batch = batch_of(s, stage)

    def look(report: StepReport) -> None:
        if check:
            report.is_finite()

    loop = StageLoop(
        schedule=Schedule(1, steps + 2, 1),
        operator=s.operator,
        seed=0,
        precision="float32",
        probe_batch=batch,
        on_step=look,
        on_epoch=lambda *_: None,
        after_step=lambda state, _: state.position == steps + 1,
    )
    with ReadBacks(state.optimiser) as reads:
        loop.run(
            state, module, ({**batch, "position": 0 * batch["position"] + n} for n in range(9))
        )
    return (len(reads.found) - 1) / (steps + 1)  # one when the loop ends
