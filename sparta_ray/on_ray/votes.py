"""Questions that all ranks answer together between two steps, on the host alone."""

import torch
import torch.distributed as dist

from sparta_ray.base.distributed import world


class Votes:
    """Tells every rank what any of them says.

    Ranks on GPUs exchange their votes over gloo, in a group of its own: over NCCL each vote would
    wait until the GPU has done all that is queued on it.
    """

    def __init__(self) -> None:
        """Prepare to vote; the first vote opens the group, so all ranks must take part in it."""
        self._group: dist.ProcessGroup | None = None

    def any_of(self, *mine: bool) -> tuple[bool, ...]:
        """Return, for each question, whether any rank answers yes."""
        if world()[1] == 1:
            return mine
        if self._group is None:
            is_gloo = dist.get_backend() == "gloo"
            self._group = dist.group.WORLD if is_gloo else dist.new_group(backend="gloo")
        votes = torch.tensor(mine, dtype=torch.uint8)
        dist.all_reduce(votes, op=dist.ReduceOp.MAX, group=self._group)
        return tuple(bool(vote) for vote in votes)
