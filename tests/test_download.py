"""Downloads from a server on this machine, which fails in the ways that servers on the network do."""

import errno
import gzip
import hashlib
import http.server
import os
import shutil
import ssl
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from email.message import Message
from functools import partial
from pathlib import Path

import pytest
import requests
from failing import failing
from half import HalfWritten
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from memory import traced

from minibp.base import disk
from minibp.data import download
from minibp.data.download import File, fetch
from minibp.errors import ArgumentError, ChecksumError, DataError, DownloadError, MinibpWarning

ROOT = Path(__file__).parent.parent
GOOD = bytes(range(256)) * 1000
FILE = File("values.gz", len(GOOD), hashlib.sha256(GOOD).hexdigest())
HTML = b"<!DOCTYPE html><html>Sign in to the classroom's network</html>"
BOMB = gzip.compress(bytes(100_000_000), compresslevel=1)
CUT = b"HTTP/1.1 200 OK\r\nContent-Length: 256000\r\n\r\n" + GOOD[:100_000]


def chunked(size_line: bytes, contents: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + size_line + b"\r\n" + contents + b"\r\n0\r\n\r\n"


# Answers that are sent as they are; then the connection is closed.
ANSWERS = {
    "silent": b"",
    "garbage": bytes(range(256)) * 10,
    "good": b"HTTP/1.1 200 OK\r\n\r\n" + GOOD,
    "wrong": b"HTTP/1.1 200 OK\r\n\r\n" + GOOD[:-1] + b"!",
    "html": b"HTTP/1.1 200 OK\r\n\r\n" + HTML,
    "cut": CUT,
    "cut-in-headers": CUT[:30],
    "longer-than-declared": CUT.replace(b"256000", b"100000") + GOOD[100_000:],
    "chunks": chunked(b"3e800", GOOD),
    "chunk-cut": chunked(b"3e800", GOOD[:1000]),
    "chunk-without-size": chunked(b"size", GOOD),
    "labelled-gzip": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + GOOD,
    "bomb": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + BOMB,
    "bomb-at-a-redirect": b"HTTP/1.1 302 \r\nLocation: /good/values.gz\r\nContent-Encoding: gzip\r\n\r\n" + BOMB,
    "partial": b"HTTP/1.1 206 Partial Content\r\n\r\n" + GOOD,
    "redirect-to-nowhere": b"HTTP/1.1 302 Found\r\n\r\n" + GOOD,
    "round": b"HTTP/1.1 302 Found\r\nLocation: /round/values.gz\r\n\r\n",
    "terminal": b"HTTP/1.1 404 \x1b[2J\r\n\r\n",
}
# The start of an answer, and the bytes that follow again and again. They end after FAR_TOO_MANY bytes, so that a client
# that reads them all fails its test instead of filling the memory.
FAR_TOO_MANY = 100 * len(GOOD)
ENDLESS = {
    "endless": (b"HTTP/1.1 200 OK\r\n\r\n", GOOD),
    "endless-redirect": (b"HTTP/1.1 302 Found\r\nLocation: /good/values.gz\r\n\r\n", GOOD),
    "endless-headers": (b"HTTP/1.1 200 OK\r\n", b"x: y\r\n" * 1000),
    "endless-header": (b"HTTP/1.1 200 OK\r\nx: ", GOOD.replace(b"\n", b"")),
    "endless-chunk-size": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0" * 100_000),
}
TRICKLES = {
    "trickle": b"HTTP/1.1 200 OK\r\n\r\n",
    "trickling-headers": b"HTTP/1.1 200 OK\r\nx: ",
    "trickling-redirect": b"HTTP/1.1 302 Found\r\nLocation: ",
}


class Handler(http.server.BaseHTTPRequestHandler):
    """Behaves as the first part of the path says."""

    server: "Server"

    def do_GET(self):
        behaviour, argument = self.path.split("/")[1:3]
        self.server.asked.append(self.path)
        self.server.headers.append(self.headers)
        self.close_connection = True
        try:
            self.do(behaviour, argument)
        except OSError:
            self.server.hung_up.set()

    def do(self, behaviour, argument):
        write, closing = self.wfile.write, self.server.closing
        if behaviour.isdigit():
            self.send_error(int(behaviour))
        elif behaviour == "to":
            write(b"HTTP/1.1 302 Found\r\nLocation: " + bytes.fromhex(argument) + b"\r\n\r\n")
        elif behaviour == "bytes":
            write(self.server.answer)
        elif behaviour == "hang":
            closing.wait(10)
        elif behaviour == "half":
            write(CUT)
            self.server.half_sent.set()
            closing.wait(10)
        elif behaviour == "together":
            self.server.barrier.wait(10)
            write(ANSWERS["good"])
        elif behaviour in ENDLESS:
            first, then = ENDLESS[behaviour]
            write(first)
            for _ in range(0, FAR_TOO_MANY, len(then)):
                write(then)
        elif behaviour in TRICKLES:
            write(TRICKLES[behaviour])
            while not closing.wait(0.02):
                write(b"x")
        else:
            write(ANSWERS.get(behaviour, b"HTTP/1.1 404 Not Found\r\n\r\n"))

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    scheme = "http"

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []
        self.headers: list[Message] = []
        self.answer = b""
        self.barrier = threading.Barrier(2)
        self.closing = threading.Event()
        self.half_sent = threading.Event()
        self.hung_up = threading.Event()

    def mirror(self, behaviour: str) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_port}/{behaviour}/"

    def redirect(self, location: str) -> str:
        return self.mirror(f"to/{location.encode().hex()}")

    def __enter__(self):
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.closing.set()
        self.shutdown()
        self.thread.join()
        self.server_close()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as server:
        yield server


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate of this machine, and its key."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed, which creates the certificate of the https server")
    folder = tmp_path_factory.mktemp("certificate")
    command = "openssl req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -days 2 -subj /CN=localhost"
    files = folder / "certificate.pem", folder / "key.pem"
    more = ["-addext", "subjectAltName=IP:127.0.0.1", "-out", files[0], "-keyout", files[1]]
    subprocess.run([*command.split(), *more], check=True, capture_output=True)
    return files


@pytest.fixture
def secure_server(monkeypatch, certificate):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate[0]))
    with Server() as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.scheme = "https"
        yield server


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_file_is_downloaded_into_a_new_folder(server, tmp_path):
    folder = tmp_path / "made" / "for it"
    assert fetch(FILE, [server.mirror("good")], folder) == GOOD
    assert names(folder) == [FILE.name]
    assert (folder / FILE.name).read_bytes() == GOOD


def test_nothing_is_printed(server, tmp_path, capfd):
    fetch(FILE, [server.mirror("wrong"), server.mirror("good")], tmp_path)
    assert capfd.readouterr() == ("", "")


def test_cached_file_is_not_downloaded_again(server, tmp_path):
    for _ in range(2):
        assert fetch(FILE, [server.mirror("good")], tmp_path) == GOOD
    assert len(server.asked) == 1


@pytest.mark.parametrize("damaged", [b"", GOOD[:1000], GOOD + b"!", GOOD[:-1] + b"\xfe"])
def test_damaged_cached_file_is_set_aside_and_downloaded_again(server, tmp_path, damaged):
    (tmp_path / FILE.name).write_bytes(damaged)
    assert fetch(FILE, [server.mirror("good")], tmp_path) == GOOD
    assert (tmp_path / FILE.name).read_bytes() == GOOD
    assert (tmp_path / "values.gz.rejected").read_bytes() == damaged


def test_damaged_cached_file_is_not_used_without_a_network(dead_port, tmp_path):
    (tmp_path / FILE.name).write_bytes(b"damaged")
    with pytest.raises(DownloadError, match=r"values\.gz: its sha256 is"):
        fetch(FILE, [dead_port], tmp_path)
    assert names(tmp_path) == [FILE.name, "values.gz.rejected"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_pipe_in_the_cache_is_not_waited_for(server, tmp_path):
    os.mkfifo(tmp_path / FILE.name)
    with pytest.raises(DownloadError, match=r"values\.gz exists and is not a file: move it away"):
        fetch(FILE, [server.mirror("good")], tmp_path)
    assert not server.asked


# --- mirrors that fail --------------------------------------------------------------------------------------------

FAULTS = {
    "302": "HTTP status 302 Found",
    "403": "HTTP status 403 Forbidden",
    "503": "HTTP status 503 Service Unavailable",
    "599": "HTTP status 599",
    "partial": "HTTP status 206 Partial Content",
    "redirect-to-nowhere": "HTTP status 302 Found",
    "terminal": "HTTP status 404 Not Found",
    "silent": "RemoteDisconnected",
    "garbage": "BadStatusLine",
    "cut": "100000 bytes read",
    "chunk-cut": "ProtocolError",
    "chunk-without-size": "ProtocolError",
    "hang": "Read timed out",
    "half": "Read timed out",
    "round": "redirected more than 10 times",
    "endless-headers": "got more than 100 headers",
    "endless-header": "got more than 65536 bytes when reading header line",
    "endless-chunk-size": "ProtocolError",
}
OTHER_CONTENTS = ["wrong", "html", "cut-in-headers", "longer-than-declared", "bomb", "endless"]


@pytest.mark.parametrize("first", ["503", "hang", "wrong", "trickle"])
def test_second_mirror_is_used_when_the_first_one_fails(server, tmp_path, first):
    mirrors = [server.mirror(first), server.mirror("good")]
    assert fetch(FILE, mirrors, tmp_path, timeout=(2, 0.3), limit=1) == GOOD


@pytest.mark.parametrize(("behaviour", "reason"), FAULTS.items())
def test_reason_of_a_failed_mirror_is_named(server, tmp_path, behaviour, reason):
    with pytest.raises(DownloadError) as caught:
        fetch(FILE, [server.mirror(behaviour)], tmp_path, timeout=(2, 0.3))
    assert f"{server.mirror(behaviour)}values.gz: " in str(caught.value)
    assert reason in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert names(tmp_path) == []


def test_an_address_that_a_server_sends_cannot_control_a_terminal(server, tmp_path):
    with pytest.raises(DownloadError, match=r"InvalidURL: .*\\x9b") as caught:
        fetch(FILE, [server.redirect("http://\x9b*.invalid/")], tmp_path)
    assert "\x9b" not in str(caught.value)


@pytest.mark.parametrize("behaviour", TRICKLES)
def test_mirror_that_sends_a_byte_now_and_then_is_abandoned(server, tmp_path, behaviour):
    with pytest.raises(DownloadError, match=r"it was not complete after 0\.3 seconds"):
        fetch(FILE, [server.mirror(behaviour)], tmp_path, limit=0.3)
    assert names(tmp_path) == []


def test_mirror_has_a_minute_plus_the_time_for_the_file_at_10_kb_a_second(tmp_path, monkeypatch):
    limits = []
    monkeypatch.setattr(download, "_download", lambda url, size, timeout, limit: limits.append(limit) or GOOD)
    fetch(FILE, ["http://nowhere/"], tmp_path)
    assert limits == [60 + len(GOOD) / 10_000]


def test_every_request_has_a_timeout(server, tmp_path, monkeypatch):
    timeouts, get = [], requests.Session.get

    def get_and_record(session, url, *, timeout, **options):
        timeouts.append(timeout)
        return get(session, url, timeout=timeout, **options)

    monkeypatch.setattr(requests.Session, "get", get_and_record)
    fetch(FILE, [server.redirect(server.mirror("good") + FILE.name)], tmp_path)
    assert timeouts == [(10, 30)] * 2  # to connect, and between two pieces


def test_all_mirrors_and_the_manual_steps_are_listed_when_all_fail(server, dead_port, tmp_path):
    mirrors = [dead_port, server.mirror("403")]
    with pytest.raises(DownloadError) as caught:
        fetch(FILE, mirrors, tmp_path, by_hand="By hand: so.")
    for expected in [*mirrors, "refused", "403", "By hand: so."]:
        assert expected in str(caught.value)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(start=st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 302 Found\r\nLocation: "]), rest=st.binary())
def test_any_other_answer_of_a_server_is_a_download_error(server, tmp_path, start, rest):
    server.answer = start + rest + b"\r\n\r\n"
    with pytest.raises((DownloadError, ChecksumError), match=r"values\.gz could not be fetched"):
        fetch(FILE, [server.mirror("bytes")], tmp_path, timeout=(2, 2))
    assert FILE.name not in names(tmp_path)


# --- other contents -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("behaviour", OTHER_CONTENTS)
def test_other_contents_are_set_aside_and_never_used(server, dead_port, tmp_path, behaviour):
    with pytest.raises(ChecksumError, match=f"not {FILE.sha256}|has more than the published 256000 bytes") as caught:
        fetch(FILE, [server.mirror(behaviour), dead_port], tmp_path)
    assert names(tmp_path) == ["values.gz.rejected"]
    assert f"is kept as {tmp_path / 'values.gz.rejected'}" in str(caught.value)
    assert dead_port in str(caught.value)


def test_web_page_is_recognised(server, tmp_path):
    with pytest.raises(ChecksumError, match="looks like a web page"):
        fetch(FILE, [server.mirror("html")], tmp_path)


@pytest.mark.parametrize("behaviour", ["chunks", "labelled-gzip"])
def test_contents_arrive_unchanged_however_they_are_sent(server, tmp_path, behaviour):
    assert fetch(FILE, [server.mirror(behaviour)], tmp_path) == GOOD


def test_server_is_asked_for_uncompressed_contents(server, tmp_path):
    fetch(FILE, [server.mirror("good")], tmp_path)
    assert server.headers[0]["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("behaviour", ENDLESS)
def test_endless_download_is_stopped(server, tmp_path, behaviour):
    assert fetch(FILE, [server.mirror(behaviour), server.mirror("good")], tmp_path) == GOOD
    assert server.hung_up.wait(5)
    if behaviour == "endless":
        assert (tmp_path / "values.gz.rejected").stat().st_size == len(GOOD) + 1


@pytest.mark.parametrize("behaviour", ["bomb", "bomb-at-a-redirect", *ENDLESS])
def test_no_answer_takes_more_memory_than_the_file(server, tmp_path, behaviour):
    fetch(FILE, [server.mirror("good")], tmp_path / "first")  # imports
    with traced() as memory:
        fetch(FILE, [server.mirror(behaviour), server.mirror("good")], tmp_path)
    assert memory.peak < 10 * len(GOOD)


# --- addresses ----------------------------------------------------------------------------------------------------


def test_redirects_are_followed(server, tmp_path):
    mirror = server.redirect(server.redirect("/good/values.gz") + FILE.name)
    assert fetch(FILE, [mirror], tmp_path) == GOOD
    assert len(server.asked) == 3


def test_redirects_in_a_circle_are_followed_ten_times(server, tmp_path):
    with pytest.raises(DownloadError, match="redirected more than 10 times"):
        fetch(FILE, [server.mirror("round")], tmp_path)
    assert len(server.asked) == 1 + 10


def test_redirect_from_http_to_https_is_followed(server, secure_server, tmp_path):
    assert fetch(FILE, [server.redirect(secure_server.mirror("good"))], tmp_path) == GOOD
    assert len(secure_server.asked) == 1


@pytest.mark.parametrize("hops_before", [[], ["https"], ["http"], ["http", "https"]])
@pytest.mark.parametrize("upper", [False, True])
def test_redirect_from_https_to_http_is_not_followed(server, secure_server, tmp_path, hops_before, upper):
    forbidden = server.mirror("good") + FILE.name
    url = secure_server.redirect(forbidden.replace("http", "HTTP") if upper else forbidden)
    for scheme in reversed(hops_before):
        url = {"http": server, "https": secure_server}[scheme].redirect(url + FILE.name)
    with pytest.raises(DownloadError, match=r"redirected from https to '(http|HTTP)://.*not followed"):
        fetch(FILE, [url], tmp_path)
    assert len(secure_server.asked) == 1 + hops_before.count("https")
    assert not any(path.startswith("/good") for path in server.asked)


def test_an_untrusted_certificate_is_refused(secure_server, tmp_path, monkeypatch):
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    with pytest.raises(DownloadError, match="CERTIFICATE_VERIFY_FAILED"):
        fetch(FILE, [secure_server.mirror("good")], tmp_path)
    assert not secure_server.asked


@pytest.mark.parametrize("scheme", ["ftp://127.0.0.1", "file://", "data:,", "javascript:", "gopher://127.0.0.1", "x:"])
@pytest.mark.parametrize("where", ["mirror", "http", "https"])
def test_addresses_other_than_http_and_https_are_refused(request, tmp_path, scheme, where):
    (tmp_path / FILE.name).write_bytes(GOOD)  # which file:// would return
    mirror = f"{scheme}{tmp_path}/"
    if where != "mirror":
        server = request.getfixturevalue("server" if where == "http" else "secure_server")
        mirror = server.redirect(mirror + FILE.name)
    with pytest.raises(DownloadError, match="not followed"):
        fetch(FILE, [mirror], tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("mirror", ["", "/etc/", "http:", "https://", "http://[/", "http://a b/", "http://\0/", "//x/"])
def test_a_mirror_that_is_not_an_address_is_a_download_error(tmp_path, mirror):
    with pytest.raises(DownloadError, match=r"values\.gz could not be fetched"):
        fetch(FILE, [mirror], tmp_path)


def test_passwords_of_the_user_are_not_sent(server, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    fetch(FILE, [server.redirect(server.mirror("good"))], tmp_path / "cache")
    assert [headers["Authorization"] for headers in server.headers] == [None, None]


# --- the folder ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../evil", "a/../../evil", "/tmp/evil", "a/b", "a\\b", "C:evil", "a\0b", "a\n", ".a", "*", "?"],
)
def test_name_that_could_leave_the_folder_is_refused(server, tmp_path, name):
    folder = tmp_path / "cache"
    with pytest.raises(ArgumentError, match="expected letters, digits and"):
        fetch(FILE._replace(name=name), [server.mirror("good")], folder)
    assert not server.asked and not folder.exists()


@pytest.mark.parametrize(("link", "behaviour"), [("values.gz", "good"), ("values.gz.rejected", "wrong")])
@pytest.mark.parametrize("dangling", [False, True])
def test_link_that_leads_out_of_the_folder_is_replaced_and_not_followed(server, tmp_path, link, behaviour, dangling):
    outside, folder = tmp_path / "outside", tmp_path / "cache"
    folder.mkdir()
    if not dangling:
        outside.write_bytes(b"mine")
    try:
        (folder / link).symlink_to(outside)
    except OSError:
        pytest.skip("this system does not allow links")
    if behaviour == "good":
        assert fetch(FILE, [server.mirror("good")], folder) == GOOD
    else:
        with pytest.raises(ChecksumError):
            fetch(FILE, [server.mirror("wrong")], folder)
    assert not (folder / link).is_symlink()
    assert outside.read_bytes() == b"mine" if not dangling else not outside.exists()


def test_folder_that_cannot_be_used_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"in the way")
    with pytest.raises(DownloadError, match="cannot be used"):
        fetch(FILE, [], tmp_path / "file" / "folder")


@pytest.mark.parametrize("first", ["good", "wrong"])
def test_full_disk_costs_a_warning_and_not_the_download(server, tmp_path, monkeypatch, first):
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    monkeypatch.setattr(disk, "open", partial(HalfWritten, failing(full)), raising=False)
    (tmp_path / FILE.name).write_bytes(b"damaged")
    with pytest.warns(MinibpWarning, match=rf"values\.gz was downloaded, but cannot be kept .* {full.strerror}"):
        assert fetch(FILE, [server.mirror(first), server.mirror("good")], tmp_path) == GOOD
    assert names(tmp_path) == [FILE.name] and (tmp_path / FILE.name).read_bytes() == b"damaged"


def test_folder_that_cannot_be_created_costs_a_warning_and_not_the_download(server, tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "mkdir", failing(PermissionError(errno.EACCES, "Permission denied", "cache")))
    with pytest.warns(MinibpWarning, match="cannot be kept for the next time: .*Permission denied: 'cache'"):
        assert fetch(FILE, [server.mirror("good")], tmp_path / "cache") == GOOD


# --- concurrent downloads ------------------------------------------------------------------------------------------


def start(mirrors, folder, first=""):
    """Fetch in another process, which first runs some code."""
    code = f"""
import sys, time
from pathlib import Path
from minibp.base import disk
from minibp.data import download
{first}
contents = download.fetch(download.File{tuple(FILE)}, {mirrors}, Path({str(folder)!r}))
sys.exit(contents != bytes(range(256)) * 1000)
"""
    return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE)


def test_threads_do_not_disturb_each_other(server, tmp_path):
    (tmp_path / FILE.name).write_bytes(b"damaged")
    mirrors = [server.mirror("cut"), server.mirror("wrong"), server.mirror("good")]
    with ThreadPoolExecutor(8) as pool:
        contents = set(pool.map(lambda _: fetch(FILE, mirrors, tmp_path), range(8)))
    assert contents == {GOOD}
    assert names(tmp_path) == [FILE.name, "values.gz.rejected"]


def test_two_processes_at_once_do_not_disturb_each_other(server, tmp_path):
    (tmp_path / FILE.name).write_bytes(b"damaged")
    mirrors = [server.mirror("cut"), server.mirror("wrong"), server.mirror("together")]
    processes = [start(mirrors, tmp_path) for _ in range(2)]
    for process in processes:
        process.communicate(timeout=60)
    assert [process.returncode for process in processes] == [0, 0]
    assert names(tmp_path) == [FILE.name, "values.gz.rejected"]
    assert (tmp_path / FILE.name).read_bytes() == GOOD


def test_process_killed_while_it_downloads_leaves_nothing(server, tmp_path):
    process = start([server.mirror("half")], tmp_path)
    assert server.half_sent.wait(60)
    process.kill()
    process.communicate()
    assert names(tmp_path) == []
    assert fetch(FILE, [server.mirror("good")], tmp_path) == GOOD


WAIT_WHEN_HALF_WRITTEN = f"""
sys.path.append({str(Path(__file__).parent)!r})
from functools import partial
from half import HalfWritten

def wait():
    print("now", flush=True)
    time.sleep(60)

disk.open = partial(HalfWritten, wait)
"""


def test_a_partial_file_of_a_killed_process_is_never_used_and_later_removed(server, tmp_path):
    process = start([server.mirror("good")], tmp_path, WAIT_WHEN_HALF_WRITTEN)
    assert process.stdout.readline() == b"now" + os.linesep.encode()
    process.kill()
    process.communicate()
    [part] = tmp_path.iterdir()
    assert part.name.endswith(".part") and part.stat().st_size == len(GOOD) // 2

    assert fetch(FILE, [server.mirror("good")], tmp_path) == GOOD
    assert names(tmp_path) == [FILE.name, part.name]  # another process might still write it
    two_hours_ago = time.time() - 7200
    os.utime(part, (two_hours_ago, two_hours_ago))
    assert fetch(FILE, [], tmp_path) == GOOD
    assert names(tmp_path) == [FILE.name]


def test_good_file_that_another_process_writes_meanwhile_is_kept(dead_port, tmp_path, monkeypatch):
    path = tmp_path / FILE.name
    path.write_bytes(b"damaged")

    @contextmanager
    def open_and_mend(name, mode):
        with open(name, mode) as file:
            yield file
        if name == path:
            path.write_bytes(GOOD)

    monkeypatch.setattr(download, "open", open_and_mend, raising=False)
    with pytest.raises(DownloadError):
        fetch(FILE, [dead_port], tmp_path)
    assert path.read_bytes() == GOOD
    assert (tmp_path / "values.gz.rejected").read_bytes() == b"damaged"


def test_the_checked_contents_are_returned_whatever_happens_to_the_file(server, tmp_path, monkeypatch):
    replace = os.replace

    def replace_and_damage(source, target):
        replace(source, target)
        Path(target).write_bytes(b"damaged")

    monkeypatch.setattr(os, "replace", replace_and_damage)
    assert fetch(FILE, [server.mirror("good")], tmp_path) == GOOD


def test_file_that_another_process_writes_at_the_same_moment_is_used(server, tmp_path, monkeypatch):
    def windows_replace(_source, target):
        Path(target).write_bytes(GOOD)
        raise PermissionError("another process reads it")

    monkeypatch.setattr(os, "replace", windows_replace)
    assert fetch(FILE, [server.mirror("good")], tmp_path) == GOOD
    assert names(tmp_path) == [FILE.name]


def test_errors_of_downloads_are_data_errors():
    assert issubclass(DownloadError, DataError) and issubclass(ChecksumError, DataError)
