"""Downloads from a server on this machine: whole, in pieces, and what is said when it does not work."""

import http.server
import socket
import threading

import pytest

from common import errors
from common.data import download

CONTENT = bytes(range(256)) * 40
ADVICE = "take it from the shelf"


class Server(http.server.BaseHTTPRequestHandler):
    """Gives CONTENT; `server.ranges` says whether it can give a part, `server.cut` after how many bytes it hangs up."""

    def do_GET(self):
        self.server.requests.append((self.headers["User-Agent"], self.headers["Range"]))
        start = int((self.headers["Range"] or "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        start = start if self.server.ranges else 0
        if self.path == "/absent":
            self.send_error(404)
        elif start >= len(CONTENT):
            self.send_error(416)
        else:
            self.send_response(206 if start else 200)
            if self.server.tells_length:
                self.send_header("Content-Length", str(len(CONTENT) - start))
            self.end_headers()
            self.wfile.write(CONTENT[start:][: self.server.cut])

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    running.requests, running.ranges, running.cut, running.tells_length = [], True, None, True
    running.url = f"http://127.0.0.1:{running.server_port}"
    threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield running
    running.shutdown()
    running.server_close()


@pytest.mark.parametrize("tells_length", [True, False])
def test_a_file_is_downloaded_whole(server, tmp_path, tells_length):
    server.tells_length = tells_length
    download.fetch(f"{server.url}/clips.rar", tmp_path / "clips.rar", ADVICE)
    assert (tmp_path / "clips.rar").read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["clips.rar"]
    assert server.requests == [(download.USER_AGENT, None)]


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_that_breaks_off_goes_on(server, tmp_path, ranges):
    server.ranges, server.cut, path = ranges, 3000, tmp_path / "clips.rar"
    with pytest.raises(errors.UserError, match=r"of clips.rar broke off \(3,000 of 10,240 bytes\); start again"):
        download.fetch(f"{server.url}/clips.rar", path, ADVICE)
    assert not path.exists() and (tmp_path / "clips.rar.part").read_bytes() == CONTENT[:3000]
    server.cut = None
    download.fetch(f"{server.url}/clips.rar", path, ADVICE)
    assert path.read_bytes() == CONTENT
    assert server.requests[1][1] == "bytes=3000-"


def test_a_part_that_is_complete_is_only_renamed(server, tmp_path):
    (tmp_path / "clips.rar.part").write_bytes(CONTENT)
    download.fetch(f"{server.url}/clips.rar", tmp_path / "clips.rar", ADVICE)
    assert (tmp_path / "clips.rar").read_bytes() == CONTENT


def test_a_connection_that_is_reset_is_said(server, tmp_path, monkeypatch):
    def reset(response, size):
        raise ConnectionResetError("reset by peer")

    monkeypatch.setattr("http.client.HTTPResponse.read", reset)
    with pytest.raises(errors.UserError, match=r"the download of clips.rar broke off \(reset by peer\); start again"):
        download.fetch(f"{server.url}/clips.rar", tmp_path / "clips.rar", ADVICE)


def test_something_small_is_read(server):
    assert download.read(f"{server.url}/list", "the list", ADVICE, user_agent="somebody") == CONTENT
    assert server.requests == [("somebody", None)]


def test_a_server_that_refuses(server, tmp_path):
    with pytest.raises(errors.UserError, match=r"/absent \(HTTP Error 404: Not Found\); take it from the"):
        download.fetch(f"{server.url}/absent", tmp_path / "absent", ADVICE)
    assert list(tmp_path.iterdir()) == []


def test_without_a_network(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/clips.rar"
    with pytest.raises(errors.UserError, match=r"Connection refused\); take it from the shelf") as caught:
        download.fetch(url, tmp_path / "clips.rar", ADVICE)
    assert "\n" not in str(caught.value)
