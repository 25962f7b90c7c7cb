"""A small file server on 127.0.0.1: ranges, validators, cuts, and as much of the Hugging Face hub as its client asks for."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FileServer:
    """files: path ("/a.bin") -> bytes. cuts: how many bytes each of the next answers sends before the line goes dead. log: (method, path, Range)."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.cuts: list[int] = []
        self.log: list[tuple[str, str, str | None]] = []
        self.validators = True
        self.ranges = True
        self.address = ""

    def hub_file(self, repo: str, name: str, content: bytes) -> None:
        self.files[f"/{repo}/resolve/main/{name}"] = content


def _handler(state: FileServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.answer(with_body=False)

        def do_GET(self) -> None:
            self.answer(with_body=True)

        def answer(self, with_body: bool) -> None:
            wanted = self.headers.get("Range")
            state.log.append((self.command, self.path, wanted))
            content = state.files.get(self.path)
            if content is None:
                self.send_response(404)
                self.send_header("Content-Length", "0")
                if "/resolve/" in self.path:
                    self.send_header("X-Error-Code", "EntryNotFound")
                self.end_headers()
                return
            etag = f'"{hashlib.sha256(content).hexdigest()}"'
            start, status = 0, 200
            fresh = self.headers.get("If-Range") in (None, etag)
            if wanted and state.ranges and fresh:
                start, status = int(wanted.removeprefix("bytes=").split("-")[0]), 206
                if start >= len(content):
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{len(content)}")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
            body = content[start:]
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            if status == 206:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            if state.validators:
                self.send_header("ETag", etag)
            if "/resolve/" in self.path:
                self.send_header("X-Repo-Commit", "0123456789abcdef0123456789abcdef01234567")
            self.end_headers()
            if with_body:
                cut = state.cuts.pop(0) if state.cuts else len(body)
                self.wfile.write(body[:cut])
                if cut < len(body):
                    self.wfile.flush()
                    self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


@contextmanager
def serving() -> Iterator[FileServer]:
    """A server for the block's length."""
    state = FileServer()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(state))
    state.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
