"""A bucket of S3 on this machine, for the real s3fs to read from.

It serves a folder, as `tests/gcs.py` does: the file ``folder/bucket/a/b`` is ``s3://bucket/a/b``.

    with FakeS3(folder) as server:
        config = ZarrSource(kind="zarr", url="s3://bucket/x.zarr", options=server.options)

Objects are asked for by path (``/bucket/key``), whole or by range; listings are of the second
version. ``server.faults["bucket/x"] = ["busy", "forbidden"]`` is what becomes of the next requests
for that object, and ``server.served`` counts those that were answered.
"""

import asyncio
import threading
from collections import Counter, defaultdict
from email.utils import formatdate
from pathlib import Path
from xml.sax.saxutils import escape

from aiohttp import web

FAULTS = {"busy": (503, "SlowDown"), "forbidden": (403, "AccessDenied")}


class FakeS3:
    """The reading half of the REST API: objects, their heads and listings."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.faults = defaultdict(list)
        self.served = Counter()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self):
        self._thread.start()
        self.url = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()
        self.options = {"endpoint_url": self.url}
        return self

    def __exit__(self, *_):
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self):
        app = web.Application()
        app.router.add_get("/{bucket}", self._list)
        app.router.add_get("/{bucket}/", self._list)
        app.router.add_get("/{bucket}/{key:.+}", self._object)  # and HEAD
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return "http://{}:{}".format(*self._runner.addresses[0])

    async def _object(self, request):
        name = "{bucket}/{key}".format(**request.match_info)
        if self.faults[name]:
            status, code = FAULTS[self.faults[name].pop(0)]
            return _xml(f"<Error><Code>{code}</Code></Error>", status)
        path = self.folder / name
        if not path.is_file():
            return _xml("<Error><Code>NoSuchKey</Code></Error>", 404)
        body, wanted = path.read_bytes(), request.http_range
        size, start = len(body), wanted.start or 0
        start, stop = (max(0, size + start) if start < 0 else start), wanted.stop or size
        if size and start >= size:
            return _xml("<Error><Code>InvalidRange</Code></Error>", 416)
        ranged = "Range" in request.headers
        headers = {"ETag": f'"{path.stat().st_mtime_ns}"', "Last-Modified": _stamp(path)}
        if ranged:
            headers["Content-Range"] = f"bytes {start}-{min(stop, size) - 1}/{size}"
        self.served[name] += request.method == "GET"
        return web.Response(body=body[start:stop], status=206 if ranged else 200, headers=headers)

    async def _list(self, request):
        bucket, query = self.folder / request.match_info["bucket"], request.query
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        items, folders = [], set()
        for path in sorted(path for path in bucket.rglob("*") if path.is_file()):
            key = path.relative_to(bucket).as_posix()
            rest = key.removeprefix(prefix)
            if not key.startswith(prefix):
                continue
            if delimiter and delimiter in rest:
                folders.add(prefix + rest.split(delimiter)[0] + delimiter)
            else:
                items.append(_entry(key, path))
        found = [f"<CommonPrefixes><Prefix>{escape(f)}</Prefix></CommonPrefixes>" for f in folders]
        count = f"<KeyCount>{len(items) + len(found)}</KeyCount><IsTruncated>false</IsTruncated>"
        return _xml(f"<ListBucketResult>{count}{''.join(items + found)}</ListBucketResult>", 200)


def _entry(key, path):
    stat = path.stat()
    return (
        f"<Contents><Key>{escape(key)}</Key><Size>{stat.st_size}</Size>"
        f"<LastModified>2020-01-01T00:00:00.000Z</LastModified>"
        f'<ETag>"{stat.st_mtime_ns}"</ETag></Contents>'
    )


def _stamp(path):
    return formatdate(path.stat().st_mtime, usegmt=True)


def _xml(text, status):
    declared = f'<?xml version="1.0" encoding="UTF-8"?>{text}'
    return web.Response(text=declared, status=status, content_type="application/xml")
