"""A stand-in for the Hugging Face Hub on this machine: it receives what the real one would."""

from __future__ import annotations

import base64
import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = "hf_of_the_stand_in"


@dataclass
class Hub:
    """What was asked of it, and what it was given."""

    url: str = ""
    refuses: int | None = None
    """Status with which it answers who makes a repository."""
    made: list[dict[str, Any]] = field(default_factory=list)
    large: dict[str, bytes] = field(default_factory=dict)
    """Contents by their hash, as weights are sent."""
    commits: list[list[dict[str, Any]]] = field(default_factory=list)
    tokens: set[str | None] = field(default_factory=set)

    def files(self) -> dict[str, bytes]:
        """What the last commit put into the repository."""
        found = {}
        for line in self.commits[-1]:
            value = line["value"]
            if line["key"] == "file":
                found[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                found[value["path"]] = self.large[value["oid"]]
        return found


@contextmanager
def standing_in() -> Iterator[Hub]:
    """A hub that listens while the block runs."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

        def _answer(self, said: Any, status: int = 200) -> None:
            body = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") == "chunked":
                parts = []
                while size := int(self.rfile.readline(), 16):
                    parts.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(parts)
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))

        def do_PUT(self) -> None:
            hub.large[self.path.rpartition("/")[2]] = self._body()
            self._answer({})

        def do_POST(self) -> None:
            body = self._body()
            hub.tokens.add(self.headers.get("Authorization"))
            if self.path == "/api/repos/create":
                if hub.refuses is not None:
                    self._answer({"error": "no"}, hub.refuses)
                    return
                hub.made.append(json.loads(body))
                self._answer({"url": f"{hub.url}/me/model", "name": "me/model", "id": "me/model"})
            elif self.path == "/api/validate-yaml":
                self._answer({"errors": [], "warnings": []})
            elif "/preupload/" in self.path:
                files = [
                    {
                        "path": f["path"],
                        "uploadMode": "lfs" if f["path"].endswith(".safetensors") else "regular",
                        "shouldIgnore": False,
                    }
                    for f in json.loads(body)["files"]
                ]
                self._answer({"files": files})
            elif self.path.endswith("/info/lfs/objects/batch"):
                objects = [
                    o | {"actions": {"upload": {"href": f"{hub.url}/large/{o['oid']}"}}}
                    for o in json.loads(body)["objects"]
                ]
                self._answer({"transfer": "basic", "objects": objects})
            elif "/commit/" in self.path:
                hub.commits.append([json.loads(line) for line in body.splitlines()])
                url = f"{hub.url}/me/model/commit/0"
                self._answer({"success": True, "commitOid": "0" * 40, "commitUrl": url})
            else:
                self._answer({"error": f"not stood in for: {self.path}"}, 501)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
