"""First contact with a remote source: one request with a short limit, before the patient reads."""

import asyncio
import os
import socket
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen

from fsspec.asyn import AsyncFileSystem

from sparta_ray.base.errors import ReadError
from sparta_ray.data.retry import is_unreachable

ENDPOINTS = {
    "gs": "https://storage.googleapis.com",
    "gcs": "https://storage.googleapis.com",
    "s3": "https://s3.amazonaws.com",
    "s3a": "https://s3.amazonaws.com",
}


def check_first_answer(
    filesystem: AsyncFileSystem, path: str, url: str, endpoint: str, seconds: float
) -> None:
    """Check that the server of a file system answers anything at all.

    Args:
        filesystem: Of the source.
        path: What to ask for there; it need not exist.
        url: The same as the user wrote it, for messages.
        endpoint: The server's address, if the user set it; empty for the protocol's own.
        seconds: How long to wait.

    Raises:
        ReadError: Nothing answered in time; names the host and the cause.
    """

    async def ask() -> None:
        await asyncio.wait_for(filesystem._info(path), seconds)

    try:
        # In the file system's own loop; fsspec's `sync` would leave the request running.
        asyncio.run_coroutine_threadsafe(ask(), filesystem.loop).result()
    except Exception as error:
        if is_unreachable(error):
            endpoint = endpoint or _endpoint(url)
            if _answers(endpoint, seconds):
                return  # it is busy: the patient reads will wait for it
            raise ReadError(
                f"{url} did not answer within {seconds:g} s: {_diagnosis(endpoint)}; check the URL "
                "and the network, or wait longer with data.source.retry.first_answer_s"
            ) from error


def _endpoint(url: str) -> str:
    protocol = url.partition("://")[0]
    emulator = os.environ.get("STORAGE_EMULATOR_HOST") if protocol in ("gs", "gcs") else None
    return emulator or ENDPOINTS.get(protocol, url)


def _answers(endpoint: str, seconds: float) -> bool:
    """Return whether a server answers at an address, even with an error."""
    try:
        urlopen(endpoint, timeout=seconds).close()
    except HTTPError:
        return True
    except (OSError, HTTPException, ValueError):
        return False
    return True


def _diagnosis(endpoint: str) -> str:
    """Say why a plain connection fails: libraries that retry do not pass the reason on."""
    parts = urlsplit(endpoint)
    host, port = parts.hostname or endpoint, parts.port or (80 if parts.scheme == "http" else 443)
    try:
        socket.create_connection((host, port), timeout=3).close()
    except OSError as error:
        return f"{host}:{port}: {error.strerror or error}"
    return f"{host}:{port} takes connections, but does not answer"
