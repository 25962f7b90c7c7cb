"""web/serve.py without a browser: files, the list, and browsers that close while an answer is on its way."""

from __future__ import annotations

import http.client
import json
import socket
import struct
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "web"))
import serve


@contextmanager
def running(folder: Path):
    server = serve.server(0, folder)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def get(port: int, path: str) -> tuple[int, bytes]:
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    line.request("GET", path)
    answer = line.getresponse()
    return answer.status, answer.read()


@pytest.mark.parametrize("path", ["/models/big.onnx", "/app.js", "/models/index.json"])
def test_a_browser_that_closes_is_no_error(tmp_path, path, capfd):
    (tmp_path / "big.onnx").write_bytes(bytes(30_000_000))
    (tmp_path / "big.json").write_text("{}")
    with running(tmp_path) as port:
        for sent in (b"", b"GET ", f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()):
            with socket.create_connection(("127.0.0.1", port)) as line:
                line.sendall(sent)
                line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, as of a closed tab
        assert get(port, "/models/index.json")[0] == 200
        status, content = get(port, "/models/big.onnx")
        assert (status, len(content)) == (200, 30_000_000)
        assert json.loads(get(port, "/models/index.json")[1])["models"][0]["name"] == "big"
    assert "Traceback" not in capfd.readouterr().err
