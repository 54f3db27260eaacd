import threading
import time

import pytest

from sparta_ray.on_ray.spot_notice import await_notice
from tests.metadata import FakeMetadata

PATH = "/computeMetadata/v1/instance/preempted"


@pytest.fixture
def metadata():
    with FakeMetadata().serving() as server:
        yield server


def start_waiting(metadata):
    """Return a thread that ends with the notice."""
    url = f"http://{metadata.host}{PATH}"
    thread = threading.Thread(target=await_notice, args=(url, 0.01), daemon=True)
    thread.start()
    return thread


def hear_that_it_is_taken(metadata):
    """Wait for the notice of a machine that is being taken away already."""
    metadata.taken.set()
    waiting = start_waiting(metadata)
    waiting.join(10)
    assert not waiting.is_alive()


def until(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_notice_is_awaited_by_one_question_that_stays_open(metadata):
    waiting = start_waiting(metadata)
    until(lambda: len(metadata.questions) == 2)
    waiting.join(0.5)
    assert waiting.is_alive()
    assert metadata.questions[0] == PATH
    assert metadata.questions[1:] == [f"{PATH}?wait_for_change=true&timeout_sec=300&last_etag=0"]
    metadata.taken.set()
    waiting.join(10)
    assert not waiting.is_alive()


def test_a_machine_that_is_being_taken_away_already_is_known_at_once(metadata):
    hear_that_it_is_taken(metadata)
    assert metadata.questions == [PATH]


def test_an_answer_that_breaks_off_is_no_end(metadata):
    metadata.cut = 2
    hear_that_it_is_taken(metadata)
    assert metadata.questions == [PATH] * 3


def test_a_server_that_fails_is_asked_again_and_said_once(metadata, capsys):
    metadata.broken = 3
    hear_that_it_is_taken(metadata)
    assert metadata.questions == [PATH] * 4
    (line,) = capsys.readouterr().out.splitlines()
    assert line.endswith(
        "/preempted does not answer, and is asked again: HTTP Error 503: Service Unavailable"
    )
