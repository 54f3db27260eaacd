"""A bucket of Google Cloud Storage on this machine, for the real gcsfs to read from.

It serves a folder: the file ``folder/bucket/a/b`` is ``gs://bucket/a/b``. Any process of this
machine can read it, tasks of Ray too:

    with FakeGCS(folder, busy=0.03) as server:
        config = ZarrSource(kind="zarr", url="gs://bucket/x.zarr", options=server.options)
        ...
        server.served["bucket/x.zarr/u/0.0.0"]  # how often that object's bytes were asked for

It can be slow (`latency_s`), busy (a share of 503s), cut bodies short (a share of them), and fail
in a given way for a given object: ``server.faults["bucket/x"] = ["busy", "cut"]`` are what becomes
of the next two requests for it; see `FAULTS`. Below ``server.plain`` are the same files for any
reader of HTTP.
"""

import asyncio
import random
import threading
from collections import Counter, defaultdict
from pathlib import Path

from aiohttp import web

FAULTS = {
    "busy": "503 and no answer",
    "cut": "half of the body announced, then the connection ends",
    "short": "half of the body, announced as such",
    "forbidden": "403, as for a private bucket",
    "slow": "an answer after ten seconds",
}


class FakeGCS:
    """The reading half of the JSON API: objects, their metadata and listings."""

    def __init__(self, folder, latency_s=0.0, busy=0.0, cut=0.0, seed=0):
        self.folder = Path(folder)
        self.latency_s = latency_s
        self.shares = {"busy": busy, "cut": cut}
        self.faults = defaultdict(list)
        self.served = Counter()  # requests for an object's bytes, by bucket/object
        self.failed = Counter()  # what went wrong, by fault
        self._random = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self):
        self._thread.start()
        self.url = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()
        self.options = {"endpoint_url": self.url}
        self.plain = f"{self.url}/download/storage/v1/b"  # /bucket/o/name
        return self

    def __exit__(self, *_):
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self):
        app = web.Application()
        app.router.add_get("/storage/v1/b/{bucket}/o", self._list)
        for prefix in ("", "/download"):
            app.router.add_get(prefix + "/storage/v1/b/{bucket}/o/{name:.+}", self._object)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        return "http://{}:{}".format(*self._runner.addresses[0])

    async def _object(self, request):
        key = "{bucket}/{name}".format(**request.match_info)
        media = request.query.get("alt") == "media" or request.path.startswith("/download")
        self.served[key] += media
        await asyncio.sleep(self.latency_s)
        fault = self._fault(key)
        if fault == "slow":
            await asyncio.sleep(10)
        if fault == "busy":
            return web.json_response({"error": {"message": "busy"}}, status=503)
        if fault == "forbidden":
            return web.json_response({"error": {"message": "denied"}}, status=403)
        path = self.folder / key
        if not path.is_file():
            return web.json_response({"error": {"message": "no such object"}}, status=404)
        if not media:
            return web.json_response(self._metadata(path))
        return await self._body(request, path.read_bytes(), fault)

    def _fault(self, key):
        drawn = [fault for fault, share in self.shares.items() if self._random.random() < share]
        fault = self.faults[key].pop(0) if self.faults[key] else next(iter(drawn), None)
        self.failed[fault] += fault is not None
        return fault

    async def _body(self, request, body, fault):
        """Answer with the range of the body that is asked for."""
        size, wanted = len(body), request.http_range
        start = wanted.start or 0
        start, stop = (max(0, size + start) if start < 0 else start), wanted.stop or size
        if size and start >= size:
            return web.Response(status=416)
        body = body[start:stop]
        half = body[: len(body) // 2]
        status = 206 if "Range" in request.headers else 200
        headers = {"Content-Range": f"bytes {start}-{start + len(body) - 1}/{size}"}
        if fault != "cut":
            return web.Response(body=half if fault == "short" else body, status=status)
        response = web.StreamResponse(status=status, headers=headers)
        response.content_length = len(body)
        await response.prepare(request)
        await response.write(half)
        request.transport.close()
        return response

    async def _list(self, request):
        bucket = self.folder / request.match_info["bucket"]
        prefix = request.query.get("prefix", "")
        delimiter = request.query.get("delimiter", "")
        items, folders = [], set()
        for path in sorted(bucket.rglob("*")):
            name = path.relative_to(bucket).as_posix()
            if not path.is_file() or not name.startswith(prefix):
                continue
            rest = name.removeprefix(prefix)
            if delimiter and delimiter in rest:
                folders.add(prefix + rest.split(delimiter)[0] + delimiter)
            else:
                items.append(self._metadata(path))
        return web.json_response({"items": items, "prefixes": sorted(folders)})

    def _metadata(self, path):
        bucket, *name = path.relative_to(self.folder).parts
        stat = path.stat()
        return {
            "bucket": bucket,
            "name": "/".join(name),
            "size": str(stat.st_size),
            "updated": "2020-01-01T00:00:00.000Z",
            "timeCreated": "2020-01-01T00:00:00.000Z",
            "etag": str(stat.st_mtime_ns),
        }
