"""Google's metadata server of a spot machine, as far as it tells that the machine is taken away."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


class FakeMetadata:
    """What the server knows; a question that waits is answered when it changes.

    Attributes:
        taken: Set it, and the machine is being taken away.
        broken: How many of the next questions are answered with an error.
        cut: How many answers after those break off.
        questions: The paths that were asked for, with their queries.
    """

    def __init__(self) -> None:
        self.taken = threading.Event()
        self.broken = self.cut = 0
        self.questions: list[str] = []
        self.host = ""

    @contextmanager
    def serving(self) -> Iterator["FakeMetadata"]:
        """Serve on loopback; `host` says where."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.host = f"127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        metadata = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                metadata.questions.append(self.path)
                asked = urlsplit(self.path)
                if self.headers["Metadata-Flavor"] != "Google":
                    self.send_error(403)
                elif asked.path != "/computeMetadata/v1/instance/preempted":
                    self.send_error(404)
                elif metadata.broken:
                    metadata.broken -= 1
                    self.send_error(503)
                else:
                    self.tell(parse_qs(asked.query))

            def tell(self, query: dict[str, list[str]]) -> None:
                if query.get("last_etag") == ["0"] and query.get("wait_for_change") == ["true"]:
                    metadata.taken.wait(float(query["timeout_sec"][0]))
                taken = metadata.taken.is_set()
                self.send_response(200)
                self.send_header("ETag", str(int(taken)))
                if metadata.cut:
                    metadata.cut -= 1
                    self.send_header("Content-Length", "100")
                self.end_headers()
                self.wfile.write(b"TRUE" if taken else b"FALSE")

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        return Handler
