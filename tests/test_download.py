"""Downloads: from a server on this machine that does all that servers on the network do."""

import hashlib
import http.server
import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from minibp import download
from minibp.download import File, fetch
from minibp.errors import ChecksumError, DataError, DownloadError

GOOD = bytes(range(256)) * 1000
FILE = File("values.gz", len(GOOD), hashlib.sha256(GOOD).hexdigest())
HTML = b"<!DOCTYPE html><html>Sign in to the classroom's network</html>"


class Handler(http.server.BaseHTTPRequestHandler):
    """Does what the first part of the path says."""

    server: "Server"

    def do_GET(self):
        behaviour = self.path.split("/")[1]
        self.server.asked.append(self.path)
        if behaviour.isdigit():
            self.send_error(int(behaviour))
        elif behaviour == "elsewhere":
            self.send_response(302)
            self.send_header("Location", "ftp://127.0.0.1/values.gz")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif behaviour == "hang":
            self.server.closing.wait(10)
        elif behaviour == "endless":
            self.send_response(200)
            self.end_headers()
            try:
                while not self.server.closing.is_set():
                    self.wfile.write(GOOD)
            except OSError:
                self.server.hung_up.set()
        else:
            contents = {"good": GOOD, "wrong": GOOD[:-1] + b"!", "html": HTML, "cut": GOOD[:100_000]}[behaviour]
            self.send_response(200)
            self.send_header("Content-Length", str(len(GOOD) if behaviour == "cut" else len(contents)))
            self.end_headers()
            self.wfile.write(contents)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []
        self.closing = threading.Event()
        self.hung_up = threading.Event()

    def mirror(self, behaviour: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{behaviour}/"


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.closing.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def dead_mirror(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{one.getsockname()[1]}/"  # bound, but nobody listens


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_file_is_downloaded_into_a_new_folder(server, tmp_path):
    folder = tmp_path / "made" / "for it"
    path = fetch(FILE, [server.mirror("good")], folder)
    assert path == folder / FILE.name
    assert path.read_bytes() == GOOD
    assert names(folder) == [FILE.name]


def test_nothing_is_printed(server, tmp_path, capfd):
    fetch(FILE, [server.mirror("wrong"), server.mirror("good")], tmp_path)
    assert capfd.readouterr() == ("", "")


def test_cached_file_is_not_downloaded_again(server, tmp_path):
    for _ in range(2):
        fetch(FILE, [server.mirror("good")], tmp_path)
    assert len(server.asked) == 1


def test_damaged_cached_file_is_set_aside_and_downloaded_again(server, tmp_path):
    (tmp_path / FILE.name).write_bytes(b"damaged")
    assert fetch(FILE, [server.mirror("good")], tmp_path).read_bytes() == GOOD
    assert (tmp_path / "values.gz.rejected").read_bytes() == b"damaged"


def test_damaged_cached_file_is_not_used_without_a_network(dead_mirror, tmp_path):
    (tmp_path / FILE.name).write_bytes(b"damaged")
    with pytest.raises(DownloadError, match=r"values\.gz: its sha256 is"):
        fetch(FILE, [dead_mirror], tmp_path)
    assert names(tmp_path) == ["values.gz.rejected"]


@pytest.mark.parametrize("first", ["403", "503", "cut", "wrong", "html", "hang", "elsewhere", "endless"])
def test_second_mirror_is_used_when_the_first_one_fails(server, tmp_path, first):
    path = fetch(FILE, [server.mirror(first), server.mirror("good")], tmp_path, timeout=(2, 0.3))
    assert path.read_bytes() == GOOD


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ("403", "HTTP status 403 Forbidden"),
        ("503", "HTTP status 503 Service Unavailable"),
        ("cut", "100000 bytes read"),
        ("hang", "Read timed out"),
        ("elsewhere", "No connection adapters were found for 'ftp:"),
    ],
)
def test_reason_of_a_failed_mirror_is_named(server, tmp_path, behaviour, reason):
    with pytest.raises(DownloadError) as caught:
        fetch(FILE, [server.mirror(behaviour)], tmp_path, timeout=(2, 0.3))
    assert f"{server.mirror(behaviour)}values.gz: " in str(caught.value)
    assert reason in str(caught.value)
    assert names(tmp_path) == []


def test_every_mirror_and_the_way_by_hand_are_listed_when_all_fail(server, dead_mirror, tmp_path):
    mirrors = [dead_mirror, server.mirror("403")]
    with pytest.raises(DownloadError) as caught:
        fetch(FILE, mirrors, tmp_path, by_hand="By hand: so.")
    for expected in [*mirrors, "refused", "403", "By hand: so."]:
        assert expected in str(caught.value)


@pytest.mark.parametrize("behaviour", ["wrong", "html"])
def test_other_contents_are_set_aside_and_never_used(server, dead_mirror, tmp_path, behaviour):
    with pytest.raises(ChecksumError, match=f"not {FILE.sha256}") as caught:
        fetch(FILE, [server.mirror(behaviour), dead_mirror], tmp_path)
    assert names(tmp_path) == ["values.gz.rejected"]
    assert f"set aside as {tmp_path / 'values.gz.rejected'}" in str(caught.value)
    assert dead_mirror in str(caught.value)


def test_web_page_is_called_one(server, tmp_path):
    with pytest.raises(ChecksumError, match="looks like a web page"):
        fetch(FILE, [server.mirror("html")], tmp_path)


def test_download_without_end_is_ended(server, tmp_path):
    with pytest.raises(ChecksumError):
        fetch(FILE, [server.mirror("endless")], tmp_path)
    assert (tmp_path / "values.gz.rejected").stat().st_size == len(GOOD) + 1
    assert server.hung_up.wait(5)


def test_several_at_once_do_not_disturb_each_other(server, tmp_path):
    (tmp_path / FILE.name).write_bytes(b"damaged")
    mirrors = [server.mirror("cut"), server.mirror("wrong"), server.mirror("good")]
    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(lambda _: fetch(FILE, mirrors, tmp_path), range(8)))
    assert {path.read_bytes() for path in paths} == {GOOD}
    assert names(tmp_path) == [FILE.name, "values.gz.rejected"]


def test_file_put_there_by_another_process_at_the_same_moment_is_used(server, tmp_path, monkeypatch):
    def windows_replace(_source, target):
        target.write_bytes(GOOD)
        raise PermissionError("another process reads it")

    monkeypatch.setattr(os, "replace", windows_replace)
    assert fetch(FILE, [server.mirror("good")], tmp_path).read_bytes() == GOOD
    assert names(tmp_path) == [FILE.name]


def test_folder_that_cannot_be_used_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"in the way")
    with pytest.raises(DownloadError, match="cannot be used"):
        fetch(FILE, [], tmp_path / "file" / "folder")


@pytest.mark.parametrize(("start", "target", "followed"), [
    ("https://a/x", "http://b/x", False),
    ("https://a/x", "https://b/x", True),
    ("https://a/x", "/y", True),
    ("http://a/x", "http://b/x", True),
    ("http://a/x", "https://b/x", True),
])  # fmt: skip
def test_redirect_from_https_to_http_is_not_followed(start, target, followed):
    response = SimpleNamespace(url=start, headers={"location": target}, is_redirect=True)
    if followed:
        download._refuse_downgrade(response)
    else:
        with pytest.raises(DownloadError, match="not followed"):
            download._refuse_downgrade(response)


def test_errors_of_downloads_are_data_errors():
    assert issubclass(DownloadError, DataError) and issubclass(ChecksumError, DataError)
