from sparta_ray.on_ray.watchdog import Heartbeat, LastHeartbeat, describe_stall


def last_heartbeat(rank, part, position=14, silent=1.0, still=62.0, answers=True):
    heartbeat = Heartbeat(rank, 2, f"{100 + rank} on a", "joint", position, part)
    return LastHeartbeat(heartbeat, silent, still, answers)


def test_a_rank_that_does_not_answer_is_named_and_not_those_that_wait_for_it():
    text = describe_stall(
        [last_heartbeat(0, "forward"), last_heartbeat(1, "wait", silent=61, answers=False)], 60
    )
    first, zero, one, last = text.splitlines()
    assert first == (
        "no rank finished a batch for 62 s (training.stall_seconds 60): "
        "rank 1 stopped, or cannot be reached"
    )
    assert zero.strip() == (
        "rank 0 (process 100 on a): step 14 of joint, is in the forward pass, or waits there for "
        "other ranks"
    )
    assert one.strip() == "rank 1 (process 101 on a): step 14 of joint, is silent for 61 s"
    assert last == "the same command continues from the last checkpoint"


def test_builders_that_deliver_nothing_are_named():
    text = describe_stall([last_heartbeat(0, "wait"), last_heartbeat(1, "wait")], 60)
    assert "the builders of ranks 0, 1 deliver no batch" in text
    assert "waits for its batch (its data queue is empty)" in text


def test_else_the_rank_that_is_behind_is():
    text = describe_stall(
        [last_heartbeat(0, "report", position=15), last_heartbeat(1, "backward")], 60
    )
    assert "rank 1 is behind" in text


def test_a_rank_that_never_began_has_no_step_yet():
    heartbeat = Heartbeat(0, 1, "100 on a", "", 0, "begin")
    _, line, _ = describe_stall([LastHeartbeat(heartbeat, 1.0, 62.0)], 60).splitlines()
    assert line.strip() == (
        "rank 0 (process 100 on a): opens its store and its checkpoint, or waits there for other "
        "ranks"
    )
