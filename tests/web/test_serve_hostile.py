"""The page's server under requests that no browser makes: ranges, HEAD, other hosts, NUL, pipes, links, files that are cut."""

from __future__ import annotations

import http.client
import os
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "web"))
import serve

CONTENT = bytes(range(256)) * 40


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    (folder / "net.onnx").write_bytes(CONTENT)
    (folder / "net.json").write_text("{}")
    (folder / "sub").mkdir()
    (folder / "sub" / "deep.onnx").write_bytes(CONTENT[:100])
    os.mkfifo(folder / "pipe.onnx")
    (folder / "pipe.json").write_text("{}")
    (folder / "out.json").symlink_to("/etc/passwd")
    (folder / ".hidden").write_text("x")
    running = serve.server(0, folder)
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield running.server_address[1]
    running.shutdown()
    running.server_close()


def ask(port, path, method="GET", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.putrequest(method, path, skip_host="Host" in headers, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize("path", ["/models/net.onnx", "/models/sub/deep.onnx", "/models/index.json", "/index.html", "/"])
def test_head_says_what_get_gives(port, path):
    status, head, nothing = ask(port, path, "HEAD")
    got, headers, body = ask(port, path)
    assert (status, got) == (200, 200)
    assert nothing == b""
    assert head["Content-Length"] == headers["Content-Length"] == str(len(body))
    assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"


@pytest.mark.parametrize(
    "path",
    ["/models/pipe.onnx", "/models/out.json", "/models/.hidden", "/models/%00", "/models/a%00b", "/%00", "/models/../serve.py/x", "/models/sub",
     "/models/" + "x" * 5000, "/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/models/%2e%2e/%2e%2e/etc/passwd", "/models/nothing.onnx"],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_is_not_to_be_sent_is_refused_at_once(port, path, method):
    status, _, body = ask(port, path, method)
    assert status in (400, 404)
    assert b"root:" not in body


@pytest.mark.parametrize(
    ("host", "taken"),
    [
        ("127.0.0.1:{port}", True),
        ("localhost:{port}", True),
        ("evil.example", False),
        ("evil.example:{port}", False),
        ("", False),
    ],
)
def test_other_hosts_are_refused(port, host, taken):
    assert (ask(port, "/models/net.onnx", Host=host.format(port=port))[0] == 200) == taken


@settings(max_examples=300, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(asked=st.one_of(
    st.builds("bytes={}-{}".format, st.integers(0, 12_000) | st.just(""), st.integers(0, 12_000) | st.just("") | st.just(10**17)),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20), st.just("bytes=0-1,5-6"),
))  # fmt: skip
def test_ranges(port, asked):
    status, headers, body = ask(port, "/models/net.onnx", Range=asked)
    assert status in (200, 206, 416)
    assert len(body) == int(headers["Content-Length"])
    if status == 200:
        assert body == CONTENT
    if status == 206:
        first, last = map(int, headers["Content-Range"].removeprefix("bytes ").split("/")[0].split("-"))
        assert body == CONTENT[first : last + 1]


def test_networks_are_listed_without_pipes(port):
    assert b"pipe" not in ask(port, "/models/index.json")[2]
