"""First contact with a remote source: one request and little patience, before the patient reads."""

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
from sparta_ray.data.sources.config import NetCDFSource, SampleSource, SourceConfig
from sparta_ray.data.sources.opening import filesystem_of

ENDPOINTS = {
    "gs": "https://storage.googleapis.com",
    "gcs": "https://storage.googleapis.com",
    "s3": "https://s3.amazonaws.com",
    "s3a": "https://s3.amazonaws.com",
}


def check_reach(config: SourceConfig) -> None:
    """Refuse a source of which nothing answers; what the answer is matters later.

    Raises:
        ReadError: Nothing answered within ``retry.first_answer_s``; names the host and the cause.
        ConfigError: The URL cannot be understood.
    """
    if isinstance(config, SampleSource):
        return
    url = config.patterns[0] if isinstance(config, NetCDFSource) else f"{config.url}/zarr.json"
    filesystem, path = filesystem_of(config, url)
    if not isinstance(filesystem, AsyncFileSystem):
        return
    seconds = config.retry.first_answer_s

    async def ask() -> None:
        await asyncio.wait_for(filesystem._info(path), seconds)

    try:
        # In the file system's own loop; fsspec's `sync` would leave the request running.
        asyncio.run_coroutine_threadsafe(ask(), filesystem.loop).result()
    except Exception as error:
        if is_unreachable(error):
            endpoint = str(config.options.get("endpoint_url", "")) or _endpoint(url)
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
    """Return whether anything is said at an address, be it an error."""
    try:
        urlopen(endpoint, timeout=seconds).close()
    except HTTPError:
        return True
    except (OSError, HTTPException, ValueError):
        return False
    return True


def _diagnosis(endpoint: str) -> str:
    """Say what a bare connection meets: libraries that try again keep the reason to themselves."""
    parts = urlsplit(endpoint)
    host, port = parts.hostname or endpoint, parts.port or (80 if parts.scheme == "http" else 443)
    try:
        socket.create_connection((host, port), timeout=3).close()
    except OSError as error:
        return f"{host}:{port}: {error.strerror or error}"
    return f"{host}:{port} takes connections, but does not answer"
