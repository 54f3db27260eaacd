"""Batches on a GPU before they are asked for: copied there while the last one trains."""

import queue
import threading
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from sparta_ray.data.compact import CompactBatch
from sparta_ray.data.expand import at_least, looked_at, to_device

_AHEAD = 2

Parts = dict[str, Tensor]
Arrived = tuple[CompactBatch, Callable[[], Parts]]
"""A batch as it came, and what returns it on the device."""


def on_device(
    batches: Iterator[CompactBatch], device: torch.device, dtype: torch.dtype
) -> Iterator[Arrived]:
    """Yield batches with what brings them to the device; to a GPU they are already under way.

    Args:
        batches: In shared memory.
        device: Where to.
        dtype: Of their fields, at least.
    """
    if device.type == "cuda":
        yield from _ahead(batches, device, dtype)
        return
    for batch in batches:
        yield batch, lambda batch=batch: to_device(batch, device, dtype)  # type: ignore[misc]


def _ahead(
    batches: Iterator[CompactBatch], device: torch.device, dtype: torch.dtype
) -> Iterator[Arrived]:
    """Copy up to two batches ahead, in a thread and on a stream of their own."""
    ready: queue.Queue[Arrived | BaseException | None] = queue.Queue(_AHEAD)
    over = threading.Event()

    def put(item: Arrived | BaseException | None) -> None:
        while not over.is_set():
            try:
                ready.put(item, timeout=0.5)
                return
            except queue.Full:  # training is slower, or has ended
                continue

    def copy() -> None:
        stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        try:
            for batch in batches:
                put((batch, _copied(batch, device, dtype, stream)))
                if over.is_set():
                    return
            put(None)
        except BaseException as error:
            put(error)

    threading.Thread(target=copy, name="prefetch", daemon=True).start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        over.set()


def _copied(
    batch: CompactBatch, device: torch.device, dtype: torch.dtype, stream: torch.cuda.Stream
) -> Callable[[], Parts]:
    """Begin to copy a batch; what is returned lets the training stream wait for the copies."""
    with torch.cuda.stream(stream):
        pinned = {name: torch.tensor(a).pin_memory() for name, a in looked_at(batch).items()}
        parts = {name: x.to(device, non_blocking=True) for name, x in pinned.items()}
        parts = {name: at_least(x, dtype) for name, x in parts.items()}
        done = stream.record_event()

    def arrive() -> Parts:
        current = torch.cuda.current_stream(device)
        current.wait_event(done)
        for x in parts.values():
            x.record_stream(current)  # not to be reused before training is done with it
        return parts

    return arrive
