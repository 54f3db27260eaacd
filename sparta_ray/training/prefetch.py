"""Fetches batches ahead of training; to a GPU they are copied while the previous one trains."""

import queue
import threading
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from sparta_ray.data.batches.compact import CompactBatch
from sparta_ray.data.batches.expand import at_least, looked_at, to_device

_AHEAD = {"cuda": 2}
"""Batches in the queue, one on other devices; the thread that fetches them holds one more."""

Parts = dict[str, Tensor]
Arrived = tuple[CompactBatch, Callable[[], Parts]]
"""A batch in shared memory, and a function that returns it on the device."""


class Prefetcher:
    """Iterates over batches that a thread of its own fetches ahead.

    Args:
        batches: In shared memory.
        device: Where to.
        dtype: Of their fields, at least.
    """

    def __init__(self, batches: Iterator[CompactBatch], device: torch.device, dtype: torch.dtype):
        self._device, self._dtype = device, dtype
        self._ready: queue.Queue[Arrived | BaseException] = queue.Queue(_AHEAD.get(device.type, 1))
        self._next: Arrived | BaseException | None = None  # taken from there, not asked for yet
        self._over = threading.Event()
        threading.Thread(target=self._bring, args=(batches,), name="prefetch", daemon=True).start()

    def __enter__(self) -> "Prefetcher":
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()

    def __iter__(self) -> Iterator[Arrived]:
        while True:
            item = self._ready.get() if self._next is None else self._next
            self._next = item if isinstance(item, StopIteration) else None
            if isinstance(item, StopIteration):
                return
            if isinstance(item, BaseException):
                raise item
            yield item

    def is_late(self, seconds: float) -> bool:
        """Wait for the next batch, at most so many seconds; return whether it is still to come.

        An error of the thread that fetches it is raised here.
        """
        if self._next is None:
            try:
                self._next = self._ready.get(timeout=seconds)
            except queue.Empty:
                return True
        if isinstance(self._next, BaseException) and not isinstance(self._next, StopIteration):
            raise self._next
        return False

    def _bring(self, batches: Iterator[CompactBatch]) -> None:
        try:
            begin = self._copier()
            for batch in batches:
                self._put((batch, begin(batch)))
                if self._over.is_set():
                    return
            self._put(StopIteration())
        except BaseException as error:
            self._put(error)

    def _put(self, item: Arrived | BaseException) -> None:
        while not self._over.is_set():
            try:
                self._ready.put(item, timeout=0.5)
                return
            except queue.Full:  # training is slower, or has ended
                continue

    def _copier(self) -> Callable[[CompactBatch], Callable[[], Parts]]:
        """Return what begins to copy a batch, and returns what ends it."""
        if self._device.type != "cuda":
            return lambda batch: partial(to_device, batch, self._device, self._dtype)
        stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        return lambda batch: self._copied(batch, stream)

    def _copied(self, batch: CompactBatch, stream: torch.cuda.Stream) -> Callable[[], Parts]:
        """Begin to copy; what is returned lets the training stream wait for the copies."""
        with torch.cuda.stream(stream):
            pinned = {name: torch.tensor(a).pin_memory() for name, a in looked_at(batch).items()}
            parts = {name: x.to(self._device, non_blocking=True) for name, x in pinned.items()}
            parts = {name: at_least(x, self._dtype) for name, x in parts.items()}
            done = stream.record_event()

        def arrive() -> Parts:
            current = torch.cuda.current_stream(self._device)
            current.wait_event(done)
            for x in parts.values():
                x.record_stream(current)  # not to be reused before training is done with it
            return parts

        return arrive
