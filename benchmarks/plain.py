"""The plain way, as the method's description reads: the yardstick of all benchmarks.

Fields lie in memory as one tensor. A row's views are made one by one with torch's own operators,
and its masks with `rand`; rows are collated; NT-Xent enumerates its pairs.

Legend: T steps, V variables, X × Y grid, I × J view, N rows, P projection, M = 2N.
"""

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset

from sparta_ray.data.plan.sampling import Plan
from sparta_ray.data.plan.views import ViewConfig

PlainRow = tuple[Tensor, ...]


def plain_view(
    field_VXY: Tensor, views: ViewConfig, crop: tuple[int, int] | None, ratio: float | None
) -> Tensor:
    """Resize, crop, smooth and mask one field, step by step.

    Args:
        field_VXY: Standardised.
        views: Sizes.
        crop: Offsets of a contrastive view; None for the input view.
        ratio: Share to hide; None for none.
    """
    size = views.crop if crop is None else views.resize
    view = functional.interpolate(field_VXY[None], size, mode="bicubic", align_corners=False)[0]
    if crop is not None:
        (x, y), (width, height) = crop, views.crop
        view = view[:, x : x + width, y : y + height]
        view = functional.avg_pool2d(view, views.filter, stride=1, padding=views.filter // 2)
    if ratio is not None:
        view = torch.where(torch.rand(view.shape) > ratio, view, 0.0)
    return view


class PlainRows(Dataset[PlainRow]):
    """A plan's rows as stage 2 needs them: four views and three fields."""

    def __init__(self, fields_TVXY: Tensor, plan: Plan, views: ViewConfig):
        self._fields, self._plan, self._views = fields_TVXY, plan, views

    def __len__(self) -> int:
        return len(self._plan.day)

    def __getitem__(self, row: int) -> PlainRow:
        """Return the views of the day, after, before and input, and the three fields."""
        plan, views = self._plan, self._views
        day, delta = int(plan.day[row]), int(plan.delta[row])
        fields = self._fields[day], self._fields[day + delta], self._fields[day - delta]
        crops = [(int(x), int(y)) for x, y in plan.crop[row]]
        after, before, whole = plan.mask_ratio[row].tolist()
        return (
            plain_view(fields[0], views, crops[0], None),
            plain_view(fields[1], views, crops[1], after),
            plain_view(fields[2], views, crops[2], before),
            plain_view(fields[0], views, None, whole),
            *fields,
        )


def plain_nt_xent(z_a_NP: Tensor, z_b_NP: Tensor, temperature: float) -> Tensor:
    """NT-Xent over lists of pairs, as the library of pair losses has it that the paper's code used.

    All positive and all negative pairs of the 2N projections are listed. Each positive pair is set
    against the whole list of negatives, of which it counts those of its own first member.
    """
    z_MP = functional.normalize(torch.cat([z_a_NP, z_b_NP]), dim=1)
    label_M = torch.arange(len(z_a_NP)).repeat(2)
    same_MM = label_M[:, None] == label_M
    itself_MM = torch.eye(len(z_MP), dtype=torch.bool)
    similarity_MM = z_MP @ z_MP.T / temperature
    anchor, positive = torch.where(same_MM & ~itself_MM)
    other, negative = torch.where(~same_MM)
    own = (other == anchor[:, None]).to(z_MP.dtype)  # (positive pairs, negative pairs)
    hit = similarity_MM[anchor, positive][:, None]
    against = similarity_MM[other, negative] * own
    against[own == 0] = -torch.inf
    largest = torch.maximum(hit, against.amax(dim=1, keepdim=True)).detach()
    numerator = (hit - largest).exp().squeeze(1)
    return -(numerator / (numerator + (against - largest).exp().sum(dim=1))).log().mean()
