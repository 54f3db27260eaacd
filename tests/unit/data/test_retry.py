import socket
import time

import aiohttp
import pytest
from botocore.exceptions import NoCredentialsError
from google.auth.exceptions import DefaultCredentialsError

from sparta_ray.base.errors import ReadError
from sparta_ray.data.retry import Attempts, RetryConfig, is_transient, permanent, retried

QUICK = RetryConfig(attempts=4, first_wait_s=0.001)


class HttpError(Exception):
    """As gcsfs raises it: the status stands in `code`."""

    def __init__(self, code):
        super().__init__(f"answer {code}")
        self.code = code


class BotoError(Exception):
    """As botocore raises it."""

    def __init__(self, code):
        super().__init__(f"answer {code}")
        self.response = {"ResponseMetadata": {"HTTPStatusCode": code}}


def caused_by(cause):
    """Return an error that another one caused, as libraries wrap them."""
    try:
        raise RuntimeError("wrapped") from cause
    except RuntimeError as error:
        return error


def failing(*errors, then="read"):
    """Return a read that fails so often, and the list of its calls."""
    calls, left = [], list(errors)

    def read():
        calls.append(time.monotonic())
        if left:
            raise left.pop(0)
        return then

    return read, calls


@pytest.mark.parametrize(
    "error",
    [
        HttpError(429),
        HttpError("503"),
        BotoError(500),
        TimeoutError(),
        ConnectionResetError(),
        aiohttp.ClientPayloadError("not all of it"),
        aiohttp.ServerDisconnectedError(),
        caused_by(HttpError(502)),
    ],
    ids=repr,
)
def test_what_passes_is_tried_again(error):
    assert is_transient(error)
    read, calls = failing(error, error)
    assert retried(read, QUICK, "x") == "read"
    assert len(calls) == 3


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (
            HttpError(403),
            "permission denied, or no credentials: a public bucket is read with data.source",
        ),
        (HttpError(401), "credentials in the environment"),
        (OSError("Forbidden: b/x\n"), "permission denied"),
        (PermissionError("x"), "permission denied"),
        (NoCredentialsError(), "no credentials"),
        (DefaultCredentialsError("x"), "no credentials"),
        (caused_by(socket.gaierror(-2, "unknown")), "the host is unknown: check the URL"),
    ],
    ids=repr,
)
def test_what_does_not_pass_is_said_at_once_with_its_remedy(error, remedy):
    assert remedy in permanent(error)
    read, calls = failing(error)
    with pytest.raises(ReadError, match=f"cannot read gs://b/x: .*; .*{remedy}"):
        retried(read, QUICK, "gs://b/x")
    assert len(calls) == 1


def test_a_host_without_a_name_is_permanent_through_aiohttp():
    key = aiohttp.client_reqrep.ConnectionKey("nowhere", 80, False, True, None, None, None)
    error = aiohttp.ClientConnectorDNSError(key, socket.gaierror(-3, "no name server"))
    assert "the host is unknown" in permanent(error)


def test_other_errors_are_raised_in_words_and_absence_as_it_is():
    read, calls = failing(KeyError("a bug"))
    with pytest.raises(ReadError, match=r"cannot read x: KeyError: 'a bug'$"):
        retried(read, QUICK, "x")
    assert len(calls) == 1
    with pytest.raises(FileNotFoundError):
        retried(failing(FileNotFoundError("x"))[0], QUICK, "x")


def test_damage_is_read_again_and_named_in_the_end():
    broken = ValueError("checksum does not match")
    assert retried(failing(broken)[0], QUICK, "x", damaged=True) == "read"
    with pytest.raises(ReadError, match=r"could not decode x in 4 attempts: .*checksum.*fetch it"):
        retried(failing(*[broken] * 9)[0], QUICK, "x", damaged=True)


def test_the_last_words_name_the_url_and_the_attempts():
    read, calls = failing(*[HttpError(503)] * 9)
    message = r"could not read gs://b/x in 4 attempts over 0 s: HttpError: answer 503; run the same"
    with pytest.raises(ReadError, match=message):
        retried(read, QUICK, "gs://b/x")
    assert len(calls) == 4


def test_waits_double_up_to_a_limit_and_repeat():
    config = RetryConfig(attempts=9, first_wait_s=1.0, longest_wait_s=10.0)
    first, again, other = (Attempts(config, what) for what in ("x", "x", "y"))
    waits = [first.wait_after(TimeoutError()) for _ in range(7)]
    for wait, longest in zip(waits, (1, 2, 4, 8, 10, 10, 10), strict=True):
        assert longest / 2 <= wait <= longest
    assert [again.wait_after(TimeoutError()) for _ in range(7)] == waits
    assert [other.wait_after(TimeoutError()) for _ in range(7)] != waits


def test_the_total_time_is_limited():
    attempts = Attempts(RetryConfig(attempts=1000, first_wait_s=1.0, total_s=4.0), "x")
    for _ in range(3):
        attempts.wait_after(TimeoutError())
    with pytest.raises(ReadError, match="in 4 attempts over 0 s"):  # the next wait is too long
        attempts.wait_after(TimeoutError())
