from sparta_ray.base.errors import by_rank, last_line


def test_a_cause_stands_once_with_the_ranks_it_befell():
    trace = "Traceback (most recent call last):\n  File x\nOSError: disk full\n"
    failures = {2: OSError(trace), 0: OSError(trace), 1: RuntimeError("killed")}
    assert by_rank(failures) == "  rank 0, 2: OSError: disk full\n  rank 1: killed"


def test_the_last_line_of_nothing_is_nothing():
    assert last_line(" \n") == ""
    assert last_line("a\nb\n\n") == "b"
