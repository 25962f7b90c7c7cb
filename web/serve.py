"""Serve the page on this machine only: `python web/serve.py`, then open the address that it prints.

Beside the files it sends the two headers with which browsers allow threads (the networks run about twice as fast with them), and the list of
networks in web/models/. Any other static server does too, with one thread, once that list stands as a file: `python web/serve.py --list`.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import os
import re
import stat
import sys
from collections.abc import Sequence
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote

log = logging.getLogger("web")
ROOT = Path(__file__).resolve().parent
LIST = "index.json"
HOSTS = ("127.0.0.1", "localhost", "[::1]")
MOST_METADATA = 16 << 20  # bytes of what an export says of itself
BLOCK = 1 << 18  # bytes in memory at a time
RUNTIME = Path("node_modules/onnxruntime-web/dist/ort.wasm.min.mjs")


def models(folder: Path) -> list[dict[str, Any]]:
    """The exported networks of a folder: every .onnx file with its .json beside it, by name."""
    found = []
    for onnx in sorted(folder.glob("*.onnx")):
        metadata = onnx.with_suffix(".json")
        if why := _why_not(onnx, metadata):
            log.warning("%s is not offered: %s.", _shown(onnx), why)
        else:
            found.append({"name": onnx.stem, "onnx": onnx.name, "metadata": metadata.name, "bytes": onnx.stat().st_size})
    return found


def _why_not(onnx: Path, metadata: Path) -> str:
    """Why the page could not run a network: what is not served, or says nothing of it; "" where it can."""
    folder = onnx.parent.resolve()
    for path in (onnx, metadata):
        if not path.is_file():
            return f"there is no file {_shown(path.name)}" if not path.exists() else f"{_shown(path.name)} is no regular file"
        if folder not in path.resolve().parents:
            return f"{_shown(path.name)} is a link out of the folder"
    if not os.fsencode(onnx.name).isascii() and onnx.name != os.fsencode(onnx.name).decode("utf-8", "replace"):
        return "its name is no text"
    try:
        if metadata.stat().st_size > MOST_METADATA:
            return f"{_shown(metadata.name)} has more than {MOST_METADATA >> 20} MB"
        content = json.loads(metadata.read_bytes())
    except (OSError, ValueError, RecursionError):
        return f"{_shown(metadata.name)} is no readable json"
    return "" if isinstance(content, dict) else f"{_shown(metadata.name)} says nothing of a network"


def _shown(path: object) -> str:
    """A name for the log, control characters as escapes."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in str(path))


def listing(folder: Path) -> bytes:
    """models/index.json, as the page reads it."""
    return (json.dumps({"models": models(folder)}, indent=2, ensure_ascii=False) + "\n").encode()


class Handler(SimpleHTTPRequestHandler):
    """Files of one folder, the list of networks, and the headers that make a page "cross-origin isolated".

    Files are sent in blocks, and in part where a part is asked for (Range); only regular files are opened.
    """

    extensions_map = {  # noqa: RUF012 (the base class declares it so)
        **SimpleHTTPRequestHandler.extensions_map,
        ".js": "text/javascript",
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
        ".onnx": "application/octet-stream",
    }
    models_folder = ROOT / "models"
    timeout = 60.0  # s that a connection may be silent

    def end_headers(self) -> None:
        """Send the headers that every answer carries."""
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def handle(self) -> None:
        """Answer requests until the browser goes. One that is closed while a network of 300 MB is on its way is no error of the server's."""
        try:
            super().handle()
        except (ConnectionError, TimeoutError) as error:
            self.close_connection = True
            log.debug("%s: the browser went away (%s).", self.client_address[0], error)

    def do_GET(self) -> None:
        """Answer: the list of networks as it is now, or a file."""
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        """Answer as to GET, without the content."""
        self._answer(with_body=False)

    def _answer(self, with_body: bool) -> None:
        if not self._is_here():
            return self._refuse(HTTPStatus.MISDIRECTED_REQUEST, "This server is asked for by the name of this machine only.")
        path = unquote(self.path.split("?")[0].split("#")[0], errors="surrogateescape")
        if "\0" in path:
            return self._refuse(HTTPStatus.BAD_REQUEST, "A name of a file holds no NUL.")
        try:
            if path == f"/models/{LIST}":
                content = listing(self.models_folder)
                return self._send(io.BytesIO(content), len(content), "application/json", with_body)
            file = self._file_of(path)
            if file is None:
                return self._refuse(HTTPStatus.NOT_FOUND, "There is no such file.")
            # a named pipe that was put in the file's place since would wait for ever
            with open(os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as opened:
                state = os.fstat(opened.fileno())
                if not stat.S_ISREG(state.st_mode):
                    return self._refuse(HTTPStatus.NOT_FOUND, "There is no such file.")
                self._send(opened, state.st_size, self.guess_type(str(file)), with_body)
        except (BrokenPipeError, ConnectionResetError, TimeoutError):
            self.close_connection = True  # the browser went, or sleeps
        except OSError:  # a name that is too long, a file that may not be read
            self._refuse(HTTPStatus.NOT_FOUND, "There is no such file.")

    def _is_here(self) -> bool:
        """Whether the request names this machine: a page elsewhere, whose name was pointed here (DNS rebinding), does not."""
        host = self.headers.get("Host")
        return host is None or host.rpartition(":")[0 if re.search(r":\d+$", host) else 2].lower() in HOSTS

    def _file_of(self, path: str) -> Path | None:
        """The regular file that a path means, below the page's folder or that of the networks; None for none."""
        root, below = Path(self.directory), path.lstrip("/")
        if path.startswith("/models/"):
            root, below = self.models_folder, path.removeprefix("/models/")
        parts = below.split("/")
        if any(part in ("..", ".") or (part.startswith(".") and part) for part in parts):
            return None
        file = root.joinpath(*[part for part in parts if part])
        if file.is_dir():
            file /= "index.html"
        found = file.resolve()
        inside = any(folder.resolve() in found.parents for folder in (Path(self.directory), self.models_folder, root))
        return file if inside and stat.S_ISREG(os.stat(file).st_mode) else None

    def _send(self, content: BinaryIO, size: int, kind: str, with_body: bool) -> None:
        asked = self.headers.get("Range")
        part = None if asked is None else _range(asked, size)
        if part is not None and part[0] > part[1]:
            self.send_response(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
            self.send_header("Content-Range", f"bytes */{size}")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        first, last = part or (0, size - 1)
        self.send_response(HTTPStatus.OK if part is None else HTTPStatus.PARTIAL_CONTENT)
        self.send_header("Content-Type", kind)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(last - first + 1))
        if part is not None:
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.end_headers()
        content.seek(first)
        left = last - first + 1 if with_body else 0
        while left > 0 and (block := content.read(min(BLOCK, left))):
            self.wfile.write(block)
            left -= len(block)
        if left:  # the file was cut while it was sent: the browser must not take it for whole
            self.close_connection = True

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        self.send_error(status, why)

    def log_message(self, format: str, *args: object) -> None:
        """Say requests in the log's finest level only."""
        log.debug(format, *args)


def _range(asked: str, size: int) -> tuple[int, int] | None:
    """First and last byte that a header Range asks for; None for one that is not understood or asks for several: all is sent then. A first byte
    behind the last one: there is nothing there.
    """
    found = re.fullmatch(r"bytes=(\d{0,18})-(\d{0,18})", asked.strip())
    if not found or not (found[1] or found[2]):
        return None
    if not found[1]:
        return (max(size - int(found[2]), 0), size - 1) if int(found[2]) else (1, 0)
    first = int(found[1])
    last = min(int(found[2]) if found[2] else size - 1, size - 1)
    if found[2] and int(found[2]) < first:
        return None
    return (first, last) if first < size else (1, 0)


class PageServer(ThreadingHTTPServer):
    """A thread for each connection, which ends with the server. What a closed browser leaves behind is no traceback on the terminal."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log what went wrong with one request, in a line: the others go on."""
        error = sys.exc_info()[1]
        if not isinstance(error, (ConnectionError, TimeoutError)):
            log.warning("A request of %s failed: %s", client_address[0], error)


def server(port: int, models_folder: Path = ROOT / "models") -> PageServer:
    """The page's server on 127.0.0.1; port 0 takes a free one."""
    handler = type("PageHandler", (Handler,), {"models_folder": models_folder})
    return PageServer(("127.0.0.1", port), lambda *args: handler(*args, directory=str(ROOT)))


def main(argv: Sequence[str] | None = None) -> None:
    """Serve until interrupted, or write the list."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8021, help="default %(default)s; 0 takes a free one")
    parser.add_argument("--models", type=Path, default=ROOT / "models", help="folder of exported networks, default %(default)s")
    parser.add_argument("--list", action="store_true", help=f"write {LIST} into that folder for another server, and stop")
    chosen = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if not chosen.models.is_dir():
        parser.error(f"{chosen.models} is not a folder.")
    if chosen.list:
        with open(chosen.models / LIST, "wb", opener=lambda path, flags: os.open(path, flags | os.O_NOFOLLOW)) as file:
            file.write(listing(chosen.models))
        log.info("%s: %d networks", chosen.models / LIST, len(models(chosen.models)))
        return
    if not (ROOT / RUNTIME).is_file():
        parser.error("onnxruntime-web is not installed: run `npm ci` in web/ (or `make web`) once.")
    if not models(chosen.models):
        log.warning("No exported network in %s yet; docs/browser.md says how to make one.", chosen.models)
    try:
        with server(chosen.port, chosen.models.resolve()) as running:
            log.info("http://127.0.0.1:%d/ (Ctrl+C stops it)", running.server_address[1])
            running.serve_forever()
    except KeyboardInterrupt:
        log.info("stopped")


if __name__ == "__main__":
    main()
