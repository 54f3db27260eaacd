import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sparta_ray.training.metrics import RowMeans

BATCHES = st.lists(
    st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3), st.integers(1, 9)), max_size=9
)


def means_of(batches):
    means = RowMeans()
    for loss, cycle, rows in batches:
        terms = {"loss": torch.tensor(loss).double(), "cycle": torch.tensor(cycle).double()}
        means.add(terms, rows)
    return means


def test_a_short_batch_counts_by_its_rows():
    result = means_of([(1.0, 0.0, 126), (4.0, 3.0, 42)]).result()
    assert result == {"loss": pytest.approx(1.75), "cycle": pytest.approx(0.75)}


def test_nothing_has_no_mean():
    assert RowMeans().result() == {}


@given(BATCHES, BATCHES)
def test_parts_merge_to_the_whole(first, second):
    whole = means_of(first + second)
    merged = means_of(first).merge(means_of(second))
    assert merged.rows == whole.rows
    assert merged.result() == pytest.approx(whole.result(), abs=1e-9)


def test_it_keeps_no_graph_and_sums_in_double_precision():
    means = RowMeans()
    loss = torch.ones((), requires_grad=True)
    for _ in range(3):
        means.add({"loss": loss / 3}, 1)
    assert not means._sums["loss"].requires_grad
    assert means.result()["loss"] == float((torch.ones(()) / 3).double())


@given(BATCHES)
def test_a_checkpoint_continues_the_sums_exactly(batches):
    means = means_of(batches)
    again = RowMeans.of_state(means.state())
    assert again.rows == means.rows
    assert again.result() == means.result()
