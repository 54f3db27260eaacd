import pytest
import torch
from pydantic import TypeAdapter
from torch.testing import assert_close

from sparta_ray.losses.adjacent_positives import adjacent_positives
from sparta_ray.losses.barlow_twins import barlow_twins
from sparta_ray.losses.kinds import (
    AdjacentPositives,
    BarlowTwins,
    ContrastiveLoss,
    NtXent,
    SoftContrastive,
    SupervisedContrastive,
)
from sparta_ray.losses.nt_xent import nt_xent
from sparta_ray.losses.projected_rows import ProjectedRows
from sparta_ray.losses.soft_contrastive import soft_contrastive
from sparta_ray.losses.supervised_contrastive import supervised_contrastive

KINDS = [NtXent(), SupervisedContrastive(), BarlowTwins(), SoftContrastive(), AdjacentPositives()]


def rows_of(n, p=6, dtype=torch.float64):
    generator = torch.Generator().manual_seed(n)
    before, day, after = torch.randn(3, n, p, generator=generator, dtype=torch.float64).to(dtype)
    season = torch.arange(n) % 4
    return ProjectedRows(before, day, after, step=91 * torch.arange(n), season=season)


def test_every_kind_is_its_equation_summed_over_both_neighbours():
    rows = rows_of(9)
    before, day, after = rows.before, rows.day, rows.after
    pairs = [(day, after), (day, before)]
    expected = {
        "nt_xent": sum(nt_xent(a, b, 0.3) for a, b in pairs),
        "supervised": sum(supervised_contrastive(a, b, rows.season, 0.1) for a, b in pairs),
        "barlow_twins": sum(barlow_twins(a, b, 0.01) for a, b in pairs),
        "soft": sum(soft_contrastive(a, b, rows.step, 0.3, 0.1) for a, b in pairs),
        "adjacent": adjacent_positives(before, day, after, 0.3),
    }
    assert {loss.kind for loss in KINDS} == expected.keys()
    for loss in KINDS:
        assert_close(loss(rows), expected[loss.kind], rtol=0, atol=0)


@pytest.mark.parametrize("loss", KINDS, ids=lambda loss: loss.kind)
def test_half_precision_is_computed_in_float32_whatever_the_autocast(loss):
    rows = rows_of(9, 16, torch.bfloat16)
    whole = ProjectedRows(
        rows.before.float(), rows.day.float(), rows.after.float(), rows.step, rows.season
    )
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(rows)
    assert value.dtype == torch.float32
    assert_close(value, loss(whole), rtol=0, atol=0)


@pytest.mark.parametrize("loss", KINDS, ids=lambda loss: loss.kind)
def test_the_order_of_rows_does_not_matter(loss):
    rows = rows_of(8)
    order = torch.tensor([3, 1, 7, 5, 0, 2, 6, 4])
    shuffled = ProjectedRows(*(part[order] for part in vars(rows).values()))
    assert_close(loss(shuffled), loss(rows))


def test_a_kind_is_chosen_by_its_tag():
    adapter = TypeAdapter(ContrastiveLoss)
    assert [adapter.validate_python({"kind": loss.kind}) for loss in KINDS] == KINDS
