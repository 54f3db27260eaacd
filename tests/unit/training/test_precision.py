import torch

from sparta_ray.training.precision import mixed_precision, resolve_precision


def test_what_is_named_is_taken_and_auto_is_one_that_the_cpu_has():
    cpu = torch.device("cpu")
    assert resolve_precision("float64", cpu) == "float64"
    assert resolve_precision("auto", cpu) in ("float32", "bfloat16")


def test_ranks_that_would_differ_are_named():
    assert mixed_precision(["float32", "float32"]) is None
    problem = mixed_precision(["bfloat16", "float32"])
    assert problem is not None
    assert "rank 0 in bfloat16, rank 1 in float32" in problem
