"""Trying again: which failed reads are worth it, how long to wait, and what to say in the end."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from sparta_ray.base.config import STRICT
from sparta_ray.base.errors import ConfigError, ReadError
from sparta_ray.base.seeding import derive_seed

Result = TypeVar("Result")

BUSY = frozenset({408, 429, *range(500, 600)})
"""HTTP answers that may be another one next time."""

FORBIDDEN = frozenset({401, 403})

TRANSIENT_ERRORS = frozenset(
    {
        "ClientConnectionError",  # aiohttp: also a server that disconnects
        "ClientPayloadError",  # aiohttp: a body shorter than announced
        "ChecksumError",  # gcsfs
        "ProxyError",  # gcsfs raises requests' for 502
        "EndpointConnectionError",  # botocore, as the next two
        "ConnectionClosedError",
        "ReadTimeoutError",
        "FSTimeoutError",  # fsspec
        "IncompleteRead",
    }
)
"""Exceptions of the libraries that may be in use, by name: none of them need be installed."""


WITHOUT_CREDENTIALS = frozenset({"NoCredentialsError", "DefaultCredentialsError"})
"""Exceptions of botocore and google-auth, where there is nothing to sign a request with."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RetryConfig:
    """Timeouts and retries of remote reads.

    Attributes:
        attempts: How often a read is attempted in all.
        first_wait_s: Longest wait after the first failure; it doubles after each further one [s].
        longest_wait_s: Upper limit of that wait [s].
        request_s: Time limit of one request [s].
        total_s: Time limit of one read, with all its attempts [s].
        first_answer_s: Time limit of a source's first answer, before any work begins [s].
    """

    attempts: int = Field(default=8, ge=1)
    first_wait_s: float = Field(default=0.5, ge=0)
    longest_wait_s: float = Field(default=30.0, ge=0)
    request_s: float = Field(default=300.0, gt=0)
    total_s: float = Field(default=900.0, gt=0)
    first_answer_s: float = Field(default=10.0, gt=0)


ONCE = RetryConfig(attempts=1)
"""For local files: what cannot be read now cannot be read in a second either."""


class Attempts:
    """The attempts at one read: how long to wait after each failure, and when to give up."""

    def __init__(self, config: RetryConfig, what: str):
        self._config = config
        self._what = what
        self._made = 0
        self._began = time.monotonic()

    def wait_after(self, error: Exception, damaged: bool = False) -> float:
        """Return the seconds to wait before the next attempt.

        Args:
            error: Why the last one failed.
            damaged: Whether an error that nothing is known about is one of decoding, which a new
                copy of the bytes may cure.

        Raises:
            ReadError: The error is permanent, or the attempts or the time are spent.
            FileNotFoundError: As it came; the caller knows what absence means.
        """
        self._made += 1
        if isinstance(error, ReadError | FileNotFoundError | MemoryError):
            raise error
        if remedy := permanent(error):
            raise ReadError(f"cannot read {self._what}: {_short(error)}; {remedy}") from error
        busy = is_transient(error)
        if not busy and not damaged:
            raise ReadError(f"cannot read {self._what}: {_short(error)}") from error
        wait = self._wait()
        spent = time.monotonic() - self._began
        if self._made >= self._config.attempts or spent + wait > self._config.total_s:
            raise ReadError(self._last_words(error, busy, spent)) from error
        return wait

    def _wait(self) -> float:
        """Return between half and the whole of a wait that doubles, the same for the same read."""
        longest = self._config.first_wait_s * 2 ** (self._made - 1)
        seed = derive_seed(0, "retry", self._what, self._made)
        share = np.random.default_rng(seed).uniform(0.5, 1.0)
        return float(min(longest, self._config.longest_wait_s) * share)

    def _last_words(self, error: Exception, busy: bool, spent: float) -> str:
        times = "at the first attempt" if self._made == 1 else f"in {self._made} attempts"
        if busy:
            return (
                f"could not read {self._what} {times} over {spent:.0f} s: {_short(error)}; run the "
                "same again later, or raise attempts and total_s of data.source.retry"
            )
        return (
            f"could not decode {self._what} {times}: {_short(error)}; it is damaged or cut short: "
            "fetch it again"
        )


def retried(
    read: Callable[[], Result], config: RetryConfig, what: str, damaged: bool = False
) -> Result:
    """Return what `read` returns, calling it again where that may help.

    Raises:
        ReadError: See `Attempts.wait_after`.
    """
    attempts = Attempts(config, what)
    while True:
        try:
            return read()
        except Exception as error:
            wait = attempts.wait_after(error, damaged)
        time.sleep(wait)


def is_transient(error: BaseException) -> bool:
    """Say whether the same request may well succeed in a moment."""
    return any(_status(cause) in BUSY or _is_broken_connection(cause) for cause in _causes(error))


def is_unreachable(error: BaseException) -> bool:
    """Say whether a request met nobody: no host, no connection, or silence."""
    causes = list(_causes(error))
    return not any(_status(cause) for cause in causes) and any(
        isinstance(cause, socket.gaierror) or _is_broken_connection(cause) for cause in causes
    )


@contextmanager
def reached(path: str) -> Iterator[None]:
    """Turn the errors of a bucket that does not answer, or not to us, into one.

    Raises:
        ConfigError: Names `path`, the cause and what to look at.
    """
    try:
        yield
    except (FileNotFoundError, ConfigError):
        raise
    except Exception as error:
        if isinstance(error, PermissionError) and error.errno is not None:
            raise  # of this machine's file system
        if permanent(error) or is_transient(error) or is_unreachable(error):
            raise ConfigError(
                f"cannot reach {path}: {_short(error)}; check the URL, the network and the "
                "credentials in the environment, and the same command continues"
            ) from error
        raise


def _is_broken_connection(error: BaseException) -> bool:
    return isinstance(error, TimeoutError | ConnectionError) or any(
        base.__name__ in TRANSIENT_ERRORS for base in type(error).__mro__
    )


def permanent(error: BaseException) -> str:
    """Return what would help where trying again would not; empty where it may."""
    for cause in _causes(error):
        if isinstance(cause, socket.gaierror):
            return "the host is unknown: check the URL and the network"
        if (
            isinstance(cause, PermissionError)
            or _status(cause) in FORBIDDEN
            or str(cause).startswith("Forbidden")  # gcsfs
            or type(cause).__name__ in WITHOUT_CREDENTIALS
        ):
            return (
                "permission denied, or no credentials: a public bucket is read with "
                "data.source.anonymous=true, a private one with anonymous=false and credentials "
                "in the environment"
            )
    return ""


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and what it was raised from, at most ten."""
    cause: BaseException | None = error
    for _ in range(10):
        if cause is None:
            return
        yield cause
        inner = getattr(cause, "os_error", None)  # aiohttp keeps the socket's own error there
        cause = inner if isinstance(inner, OSError) else cause.__cause__ or cause.__context__


def _status(error: BaseException) -> int | None:
    """Return the HTTP status that an exception of gcsfs, aiohttp or botocore carries."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        return _number(response.get("ResponseMetadata", {}).get("HTTPStatusCode"))
    return _number(getattr(error, "status", None)) or _number(getattr(error, "code", None))


def _number(value: object) -> int | None:
    return int(value) if isinstance(value, int | str) and str(value).isdigit() else None


def _short(error: BaseException) -> str:
    """Return an error's type and the beginning of what it says."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__
