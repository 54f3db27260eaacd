"""A bucket of Google Cloud Storage on this machine, for the real gcsfs to read from and write to.

It serves a folder: the file ``folder/bucket/a/b`` is ``gs://bucket/a/b``. Any process of this
machine can read it, tasks of Ray too:

    with FakeGCS(folder, busy=0.03) as server:
        config = ZarrSource(kind="zarr", url="gs://bucket/x.zarr", options=server.options)
        ...
        server.served["bucket/x.zarr/u/0.0.0"]  # how often that object's bytes were asked for

A process that takes no options finds it by its environment: ``os.environ | server.environment``.

It can be slow (`latency_s`), busy (a share of 503s), cut bodies short (a share of them), and fail
in a given way for a given object: ``server.faults["bucket/x"] = ["busy", "cut"]`` are what becomes
of the next two requests for it (refusals: also of those that write it); see `FAULTS`. Below
``server.plain`` are the same files for any reader of HTTP.
"""

import asyncio
import json
import random
import re
import threading
from collections import Counter, defaultdict
from pathlib import Path
from urllib.parse import unquote

from aiohttp import web

FAULTS = {
    "busy": "503 and no answer",
    "cut": "half of the body announced, then the connection ends",
    "short": "half of the body, announced as such",
    "forbidden": "403, as for a private bucket",
    "unauthorised": "401, as with a token that has expired",
    "slow": "an answer after ten seconds",
}


REFUSALS = {"forbidden": 403, "unauthorised": 401}


class FakeGCS:
    """Of the JSON API: objects and their metadata, listings, uploads of all sizes, deletion."""

    def __init__(self, folder, latency_s=0.0, busy=0.0, cut=0.0, seed=0):
        self.folder = Path(folder)
        self.latency_s = latency_s
        self.shares = {"busy": busy, "cut": cut}
        self.faults = defaultdict(list)
        self.served = Counter()  # requests for an object's bytes, by bucket/object
        self.failed = Counter()  # what went wrong, by fault
        self._partial = defaultdict(bytes)  # what has come of each upload in parts
        self._random = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self):
        self._thread.start()
        self.url = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()
        self.options = {"endpoint_url": self.url}
        self.environment = {
            "STORAGE_EMULATOR_HOST": self.url,
            "FSSPEC_GS_TOKEN": "anon",
            "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",  # would ask over gRPC, which is not here
        }
        self.plain = f"{self.url}/download/storage/v1/b"  # /bucket/o/name
        return self

    def __exit__(self, *_):
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self):
        app = web.Application(client_max_size=2**30)
        app.router.add_get("/storage/v1/b/{bucket}/o", self._list)
        for prefix in ("", "/download"):
            app.router.add_get(prefix + "/storage/v1/b/{bucket}/o/{name:.+}", self._object)
        app.router.add_get("/storage/v1/b/{bucket}", self._bucket)
        app.router.add_delete("/storage/v1/b/{bucket}/o/{name:.+}", self._delete)
        app.router.add_post("/upload/storage/v1/b/{bucket}/o", self._upload)
        app.router.add_post("/batch/storage/v1", self._delete_many)
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
        if fault in REFUSALS:
            return web.json_response({"error": {"message": "denied"}}, status=REFUSALS[fault])
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
            whole = path.is_file() and path.suffix != ".upload"
            if not whole or not name.startswith(prefix):
                continue
            rest = name.removeprefix(prefix)
            if delimiter and delimiter in rest:
                folders.add(prefix + rest.split(delimiter)[0] + delimiter)
            else:
                items.append(self._metadata(path))
        return web.json_response({"items": items, "prefixes": sorted(folders)})

    async def _bucket(self, request):
        name = request.match_info["bucket"]
        there = (self.folder / name).is_dir()
        return web.json_response({"name": name}, status=200 if there else 404)

    async def _upload(self, request):
        """Take a whole object, or announce where its parts go, or take one of them."""
        bucket, kind = request.match_info["bucket"], request.query["uploadType"]
        if kind == "multipart":
            announced, body = _parts(await request.read())
            name = json.loads(announced)["name"]
            if (fault := self._fault(f"{bucket}/{name}")) in REFUSALS:
                return web.json_response({"error": {"message": "denied"}}, status=REFUSALS[fault])
            if (
                request.query.get("ifGenerationMatch") == "0"
                and (self.folder / bucket / name).exists()
            ):
                return web.json_response({"error": {"message": "it is there"}}, status=412)
            return self._store(bucket, name, body)
        if "part" not in request.query:
            location = request.url.update_query(part="1")
            return web.Response(headers={"Location": str(location)})
        return self._store_part(request, await request.read())

    def _store_part(self, request, body):
        key = "{bucket}/{name}".format(bucket=request.match_info["bucket"], **request.query)
        self._partial[key] += body
        if request.headers["Content-Range"].endswith("/*"):
            last = len(self._partial[key]) - 1
            return web.Response(status=308, headers={"Range": f"bytes=0-{last}"})
        return self._store(*key.split("/", 1), self._partial.pop(key))

    def _store(self, bucket, name, body):
        path = self.folder / bucket / name
        if not (self.folder / bucket).is_dir():
            return web.json_response({"error": {"message": "no such bucket"}}, status=404)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_name(f"{path.name}.upload").write_bytes(body)
        path.with_name(f"{path.name}.upload").replace(path)
        return web.json_response(self._metadata(path))

    async def _delete(self, request):
        return web.Response(status=self._remove("{bucket}/{name}".format(**request.match_info)))

    def _remove(self, key):
        there = (self.folder / key).is_file()
        if there:
            (self.folder / key).unlink()
        return 204 if there else 404

    async def _delete_many(self, request):
        body = (await request.read()).decode()
        keys = re.findall(r"DELETE /storage/v1/b/([^/]+)/o/(\S+?)(?:\?\S*)? HTTP", body)
        codes = [self._remove(f"{bucket}/{unquote(name)}") for bucket, name in keys]
        answers = "".join(f"--answers\n\nHTTP/1.1 {code} .\n" for code in codes)
        return web.Response(
            text=f"{answers}--answers--",
            headers={"Content-Type": "multipart/mixed; boundary=answers"},
        )

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


def _parts(body):
    """Split a body of two parts into what stands below the head of each."""
    boundary = b"\n" + body.split(b"\n", 1)[0]
    first, second = body.removesuffix(boundary + b"--").split(boundary, 1)
    return first.split(b"\n\n", 1)[1], second.split(b"\n\n", 1)[1]
