"""A model hub on localhost: the part of the real one's HTTP interface that downloads use, and its failures."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

REVISION = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """Repositories by id, and what goes wrong.

    Attributes:
        repositories: id -> file name -> content.
        announced: file name -> content whose size and digest the listing gives instead of the true ones.
        cut: file name -> bytes after which the connection breaks; once per entry of the list.
        refuse_ranges: answer requests for the rest of a file with an error.
        downloads: (file name, first byte asked for) of every download, in order.
    """

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.announced: dict[str, bytes] = {}
        self.cut: dict[str, list[int]] = {}
        self.refuse_ranges = False
        self.downloads: list[tuple[str, int]] = []
        self.url = ""

    def listing(self, hub_id: str) -> dict[str, object]:
        """The answer of /api/models."""
        siblings = []
        for name, content in self.repositories[hub_id].items():
            said = self.announced.get(name, content)
            blob = hashlib.sha1(b"blob %d\0" % len(said) + said).hexdigest()
            file: dict[str, object] = {"rfilename": name, "size": len(said), "blobId": blob}
            if not name.endswith((".json", ".md", ".txt")):
                file["lfs"] = {"sha256": hashlib.sha256(said).hexdigest(), "size": len(said), "pointerSize": 130}
            siblings.append(file)
        return {"id": hub_id, "sha": REVISION, "siblings": siblings}


@contextmanager
def running(hub: Hub) -> Iterator[Hub]:
    """Serves the hub until the block ends; sets its url."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            listing = re.fullmatch(r"/api/models/(.+)", path)
            file = re.fullmatch(rf"/(.+)/resolve/{REVISION}/(.+)", path)
            if listing and listing[1] in hub.repositories:
                self._answer(200, json.dumps(hub.listing(listing[1])).encode())
            elif file and file[2] in hub.repositories.get(file[1], {}):
                self._send_file(file[2], hub.repositories[file[1]][file[2]])
            else:
                self._answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})

        def _send_file(self, name: str, content: bytes) -> None:
            asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            first = int(asked[1]) if asked else 0
            hub.downloads.append((name, first))
            if asked and hub.refuse_ranges:
                self._answer(500, b"{}")
                return
            headers = {"Content-Range": f"bytes {first}-{len(content) - 1}/{len(content)}"} if asked else {}
            cuts = hub.cut.get(name, [])
            stop = first + cuts.pop(0) if cuts else None
            self._answer(206 if asked else 200, content[first:], headers, stop=stop and stop - first)

        def _answer(
            self, status: int, body: bytes, headers: dict[str, str] | None = None, stop: int | None = None
        ) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body[:stop])
            if stop is not None:
                self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
