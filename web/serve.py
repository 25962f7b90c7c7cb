"""Serve the page on this machine only: `python web/serve.py`, then open the address that it prints.

Beside the files it sends the two headers with which browsers allow threads (the networks run about twice as fast with them), and the list of
networks in web/models/. Any other static server does too, with one thread, once that list stands as a file: `python web/serve.py --list`.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

log = logging.getLogger("web")
ROOT = Path(__file__).resolve().parent
LIST = "index.json"
RUNTIME = Path("node_modules/onnxruntime-web/dist/ort.wasm.min.mjs")


def models(folder: Path) -> list[dict[str, Any]]:
    """The exported networks of a folder: every .onnx file with its .json beside it, by name."""
    found = []
    for onnx in sorted(folder.glob("*.onnx")):
        metadata = onnx.with_suffix(".json")
        if metadata.is_file():
            found.append({"name": onnx.stem, "onnx": onnx.name, "metadata": metadata.name, "bytes": onnx.stat().st_size})
        else:
            log.warning("%s has no %s beside it and is not offered.", onnx, metadata.name)
    return found


def listing(folder: Path) -> bytes:
    """models/index.json, as the page reads it."""
    return (json.dumps({"models": models(folder)}, indent=2, ensure_ascii=False) + "\n").encode()


class Handler(SimpleHTTPRequestHandler):
    """Files of one folder, the list of networks, and the headers that make a page "cross-origin isolated"."""

    extensions_map = {  # noqa: RUF012 (the base class declares it so)
        **SimpleHTTPRequestHandler.extensions_map,
        ".js": "text/javascript",
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
        ".onnx": "application/octet-stream",
    }
    models_folder = ROOT / "models"

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
        path = self.path.split("?")[0]
        if path == f"/models/{LIST}":
            return self._send(listing(self.models_folder), "application/json")
        if path.startswith("/models/") and self.models_folder != ROOT / "models":
            name = path.removeprefix("/models/")
            if name in {p.name for p in self.models_folder.iterdir()}:
                return self._send((self.models_folder / name).read_bytes(), self.guess_type(name))
        return super().do_GET()

    def _send(self, content: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Say requests in the log's finest level only."""
        log.debug(format, *args)


class PageServer(ThreadingHTTPServer):
    """Threads do not keep the process alive, and what a closed browser leaves behind is no traceback on the terminal."""

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
        (chosen.models / LIST).write_bytes(listing(chosen.models))
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
