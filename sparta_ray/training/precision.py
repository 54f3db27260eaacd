"""Which number format the networks run in on a device."""

from collections.abc import Sequence
from typing import Literal

import torch

Precision = Literal["float32", "bfloat16", "float64"]


def resolve_precision(wanted: Precision | Literal["auto"], device: torch.device) -> Precision:
    """Return the precision to train in; ``auto`` is bfloat16 where the device computes in it.

    A CPU without the instructions would run bfloat16 slower than float32.
    """
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    able = torch.cpu.get_capabilities()
    fast = any(able.get(feature) for feature in ("avx512_bf16", "amx_bf16", "bf16"))
    return "bfloat16" if fast else "float32"


def mixed_precision(found: Sequence[str]) -> str | None:
    """Return what is wrong if the ranks, by number, would not all compute in one precision."""
    if len(set(found)) == 1:
        return None
    ranks = ", ".join(f"rank {rank} in {each}" for rank, each in enumerate(found))
    return (
        f"training.precision: auto is not the same on all machines ({ranks}); set it to float32, "
        "or to what all of them have"
    )


def weights_type(precision: Precision) -> torch.dtype:
    """Return the number format of weights and views; under ``bfloat16`` only networks round."""
    return torch.float64 if precision == "float64" else torch.float32
