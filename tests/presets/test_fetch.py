"""The download code against a server that interrupts, truncates, corrupts, redirects and stalls."""

import errno
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from keras_dgm.presets import fetch as fetching
from keras_dgm.presets import transport
from keras_dgm.presets.integrity import FileRecord, record_of

REPOSITORY = Path(__file__).resolve().parents[2]
CONTENT = bytes(range(256)) * 400


@pytest.fixture
def weights(make):
    return FileRecord(**make.record(CONTENT))


@pytest.fixture
def fetch(server, weights, cache):
    """Fetches /w from the server into the cache, as the file model.weights.h5."""
    server.files["/w"] = CONTENT

    def run(address=None, record=weights, folder=cache / "p" / "r", **options):
        name = "model.weights.h5"
        addresses = {name: address or server.url + "/w"}
        fetching.fetch_folder(addresses, {name: record}, folder, **options)
        return folder / name

    return run


def left_behind(cache):
    """Every file below the cache but the lock."""
    return sorted(p.name for p in cache.rglob("*") if p.is_file() and p.suffix != ".lock")


def test_whole(fetch, cache, server):
    seen = []
    path = fetch(progress=lambda *what: seen.append(what))
    assert path.read_bytes() == CONTENT
    assert seen[-1] == ("model.weights.h5", len(CONTENT), len(CONTENT))
    assert left_behind(cache) == ["model.weights.h5"]
    fetch()
    assert len(server.requests) == 1


def test_from_a_folder(fetch, tmp_path):
    (tmp_path / "w").write_bytes(CONTENT)
    assert fetch(str(tmp_path / "w")).read_bytes() == CONTENT
    with pytest.raises(FileNotFoundError, match="does not exist"):
        fetch(str(tmp_path / "absent"), folder=tmp_path / "other")


def test_interrupted_then_resumed_within_a_call(fetch, server):
    def cut(handler, content):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content[:30_000])

    server.faults["/w"] = [cut]
    assert fetch().read_bytes() == CONTENT
    assert server.requests == [("/w", None), ("/w", "bytes=30000-")]


def test_interrupted_for_good_keeps_what_came_and_the_next_call_goes_on(fetch, server, cache):
    def cut(handler, content):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content[:10_000])

    def reset(handler, content):
        handler.connection.close()

    server.faults["/w"] = [cut, reset, reset]
    with pytest.raises(ValueError, match="3 times.*goes on from there"):
        fetch()
    assert left_behind(cache) == ["model.weights.h5.part"]
    assert fetch().read_bytes() == CONTENT
    assert server.requests[-1] == ("/w", "bytes=10000-")
    assert left_behind(cache) == ["model.weights.h5"]


def test_a_server_without_ranges_sends_all_again(fetch, server, cache):
    partial = cache / "p" / "r.partial"
    partial.mkdir(parents=True)
    (partial / "model.weights.h5.part").write_bytes(CONTENT[:500])

    def ignore_range(handler, content):
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(content)

    server.faults["/w"] = [ignore_range]
    assert fetch().read_bytes() == CONTENT
    assert server.requests == [("/w", "bytes=500-")]


def test_leftovers_of_another_version_are_fetched_anew(fetch, server, cache):
    partial = cache / "p" / "r.partial"
    partial.mkdir(parents=True)
    (partial / "model.weights.h5.part").write_bytes(b"x" * 500)
    (partial / "stray").write_bytes(b"x")
    assert fetch().read_bytes() == CONTENT
    assert server.requests == [("/w", "bytes=500-"), ("/w", None)]
    assert left_behind(cache) == ["model.weights.h5"]


def test_truncated_on_the_server(fetch, server, cache):
    server.files["/w"] = CONTENT[:-1]
    with pytest.raises(ValueError, match=f"has {len(CONTENT) - 1} bytes, expected {len(CONTENT)}"):
        fetch()
    assert left_behind(cache) == []


def test_truncated_without_a_declared_length(fetch, server, cache):
    def short(handler, content):
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(content[:-1])

    server.faults["/w"] = [short] * 3
    with pytest.raises(ValueError, match="after 102399 of 102400 bytes, 3 times"):
        fetch()


def test_corrupted(fetch, server, cache):
    server.files["/w"] = CONTENT[:-1] + b"!"
    with pytest.raises(ValueError, match="its sha256 is .* expected .*deleted"):
        fetch()
    assert left_behind(cache) == []


@pytest.mark.parametrize("declared", [True, False])
def test_larger_than_declared_is_not_taken_in(fetch, server, cache, declared):
    server.files["/w"] = CONTENT * 50

    def endless(handler, content):
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(content)

    if not declared:
        server.faults["/w"] = [endless]
    with pytest.raises(ValueError, match="expected (the expected )?102400|expected 102400"):
        fetch()
    assert left_behind(cache) == []


def test_redirected(fetch, server):
    server.files["/v"] = CONTENT
    server.faults["/moved"] = [lambda handler, _: redirect(handler, server.url + "/v")]
    assert fetch(server.url + "/moved").read_bytes() == CONTENT


@pytest.mark.parametrize("to", ["file:///etc/passwd", "ftp://127.0.0.1/w"])
def test_redirected_to_another_scheme_is_refused(fetch, server, cache, to):
    server.faults["/w"] = [lambda handler, _: redirect(handler, to)] * 3
    with pytest.raises(ValueError, match="scheme|HTTP 302"):
        fetch()
    assert left_behind(cache) == []


def test_redirected_from_https_to_http_is_refused():
    request = transport.urllib.request.Request("https://example.org/w")
    handler = transport._Redirects()
    with pytest.raises(ValueError, match="is not https"):
        handler.redirect_request(request, None, 302, "", {}, "http://example.org/w")


def test_redirected_in_a_circle(fetch, server, cache):
    server.faults["/w"] = [lambda handler, _: redirect(handler, server.url + "/w")] * 50
    with pytest.raises(ValueError, match="HTTP 302"):
        fetch()
    assert len(server.requests) < 50 and left_behind(cache) == []


def redirect(handler, to):
    handler.send_response(302)
    handler.send_header("Location", to)
    handler.end_headers()


def test_slow_but_steady(fetch, server, monkeypatch):
    monkeypatch.setenv("KERAS_DGM_TIMEOUT", "2")

    def drip(handler, content):
        handler.send_response(200)
        handler.end_headers()
        for start in range(0, len(content), 20_000):
            handler.wfile.write(content[start : start + 20_000])
            handler.wfile.flush()
            time.sleep(0.02)

    server.faults["/w"] = [drip]
    assert fetch().read_bytes() == CONTENT


def test_stalled(fetch, server, monkeypatch):
    monkeypatch.setenv("KERAS_DGM_TIMEOUT", "0.2")
    release = threading.Event()

    def stall(handler, content):
        release.wait(5)

    server.faults["/w"] = [stall] * 3
    with pytest.raises(ValueError, match="no answer within 0.2 s"):
        fetch()
    release.set()


def test_stalled_in_the_middle_then_resumed(fetch, server, monkeypatch):
    monkeypatch.setenv("KERAS_DGM_TIMEOUT", "0.3")
    release = threading.Event()

    def stall(handler, content):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content[:40_000])
        handler.wfile.flush()
        release.wait(5)

    server.faults["/w"] = [stall]
    assert fetch().read_bytes() == CONTENT
    release.set()
    assert server.requests == [("/w", None), ("/w", "bytes=40000-")]


@pytest.mark.parametrize(
    "code, kind, says", [(403, ValueError, "refuses access"), (404, FileNotFoundError, "404")]
)
def test_a_final_answer_is_not_asked_for_again(fetch, server, cache, code, kind, says):
    server.faults["/w"] = [lambda handler, _: handler.send_error(code)] * 3
    with pytest.raises(kind, match=says):
        fetch()
    assert len(server.requests) == 1
    assert left_behind(cache) == []


def test_a_passing_fault_is(fetch, server):
    server.faults["/w"] = [lambda handler, _: handler.send_error(503)] * 2
    assert fetch().read_bytes() == CONTENT
    server.faults["/w"] = [lambda handler, _: handler.send_error(500)] * 3


def test_nobody_listens(fetch, server):
    server.close()
    with pytest.raises(ValueError, match="could not be fetched.*Check the network"):
        fetch()


def test_a_damaged_copy_in_the_cache_is_replaced(fetch, cache):
    path = fetch()
    path.write_bytes(b"x" * len(CONTENT))
    assert fetch().read_bytes() == CONTENT


def test_a_file_where_the_cache_should_be(fetch, tmp_path):
    (tmp_path / "home").write_text("")
    with pytest.raises(ValueError, match="could not be written"):
        fetch()


# The package without its own __init__, so that a process starts in a tenth of a second.
BARE = f"""
import sys, types
for name in ("keras_dgm", "keras_dgm.presets"):
    module = types.ModuleType(name)
    module.__path__ = [{str(REPOSITORY)!r} + "/" + name.replace(".", "/")]
    sys.modules[name] = module
from pathlib import Path
from keras_dgm.presets.fetch import fetch_folder
from keras_dgm.presets.integrity import FileRecord
url, size, sha256, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3], Path(sys.argv[4])
fetch_folder({{"w": url}}, {{"w": FileRecord(size, sha256)}}, folder)
"""


def process(url, record, folder, prefix=""):
    arguments = [url, str(record.size), record.sha256, str(folder)]
    code = textwrap.dedent(prefix) + BARE
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stderr=subprocess.PIPE, text=True
    )


def test_two_processes_at_once_fetch_once(server, weights, cache):
    def slowly(handler, content):
        time.sleep(0.5)
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(content)

    server.files["/w"] = CONTENT
    server.faults["/w"] = [slowly]
    both = [process(server.url + "/w", weights, cache / "p" / "r") for _ in range(2)]
    assert [(one.communicate(timeout=30)[1], one.returncode) for one in both] == [("", 0)] * 2
    assert (cache / "p" / "r" / "w").read_bytes() == CONTENT
    assert len(server.requests) == 1


def test_killed_in_the_middle_and_resumed(server, weights, cache):
    half, release = threading.Event(), threading.Event()

    def hang(handler, content):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content[:50_000])
        handler.wfile.flush()
        half.set()
        release.wait(20)

    server.files["/w"] = CONTENT
    server.faults["/w"] = [hang]
    folder = cache / "p" / "r"
    victim = process(server.url + "/w", weights, folder)
    assert half.wait(20)
    part = folder.with_name("r.partial") / "w.part"
    # The writer's buffer decides how much of the half is on the disk.
    deadline = time.time() + 5
    while time.time() < deadline and not (part.is_file() and part.stat().st_size):
        time.sleep(0.02)
    victim.kill()
    victim.communicate()
    release.set()
    assert not folder.exists()
    second = process(server.url + "/w", weights, folder)
    assert (second.communicate(timeout=30)[1], second.returncode) == ("", 0)
    assert record_of(folder / "w") == weights
    assert left_behind(cache) == ["w"]


@pytest.fixture
def mounted(tmp_path):
    """Mounts a small file system, where the machine allows it."""
    point = tmp_path / "small"
    point.mkdir()
    done = []

    def mount(options):
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(point)]
        try:
            result = subprocess.run(command, capture_output=True, text=True)
        except FileNotFoundError:
            pytest.skip("there is no mount command")
        if result.returncode:
            pytest.skip(f"this machine does not let us mount: {result.stderr.strip()}")
        done.append(True)
        return point

    yield mount
    if done:
        subprocess.run(["umount", str(point)], check=True)


def test_a_disk_too_small_is_noticed_before(fetch, mounted, server):
    point = mounted("size=64k")
    with pytest.raises(ValueError, match="needs 102.4 kB in .* are free.*KERAS_HOME"):
        fetch(folder=point / "p" / "r")
    assert server.requests == []
    assert left_behind(point) == []


def test_a_disk_that_fills_up_meanwhile(fetch, mounted, monkeypatch):
    point = mounted("size=64k")
    usage = type("Usage", (), {"free": 10**9})
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(ValueError, match="is full: the unfinished download was deleted"):
        fetch(folder=point / "p" / "r")
    assert left_behind(point) == []


def test_a_full_disk_without_a_mount(fetch, cache, monkeypatch):
    """The same fault, raised where the system would raise it, for machines that mount nothing."""

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(fetching.os, "fsync", full)
    with pytest.raises(ValueError, match="is full: the unfinished download was deleted"):
        fetch()
    assert left_behind(cache) == []


def test_a_read_only_disk(fetch, mounted):
    with pytest.raises(ValueError, match="cannot be written.*KERAS_HOME"):
        fetch(folder=mounted("ro") / "p" / "r")


def test_a_read_only_disk_that_holds_it_already(fetch, mounted, server):
    point = mounted("size=1m")
    path = fetch(folder=point / "p" / "r")
    subprocess.run(["mount", "-o", "remount,ro", str(point)], check=True)
    with pytest.raises(OSError):
        (point / "x").touch()
    assert fetch(folder=point / "p" / "r") == path and path.read_bytes() == CONTENT
    assert len(server.requests) == 1


def test_one_of_two_files_missing_leaves_no_folder_and_the_first_is_kept(server, make, cache):
    contents = {"a": b"first" * 100, "b": b"second" * 100}
    records = {name: FileRecord(**make.record(text)) for name, text in contents.items()}
    addresses = {name: f"{server.url}/{name}" for name in contents}
    server.files["/a"] = contents["a"]
    with pytest.raises(FileNotFoundError, match="/b does not exist on the server"):
        fetching.fetch_folder(addresses, records, cache / "p" / "r")
    assert not (cache / "p" / "r").exists() and left_behind(cache) == ["a"]
    server.files["/b"] = contents["b"]
    fetching.fetch_folder(addresses, records, cache / "p" / "r")
    assert left_behind(cache) == ["a", "b"]
    assert [path for path, _ in server.requests] == ["/a", "/b", "/b"]


def test_a_folder_without_permission(fetch, tmp_path):
    import os

    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(ValueError, match="cannot be written.*KERAS_HOME"):
        fetch(folder=tmp_path / "closed" / "p" / "r")


@pytest.mark.parametrize("value", ["0", "-1", "soon"])
def test_a_nonsensical_timeout(fetch, monkeypatch, value):
    monkeypatch.setenv("KERAS_DGM_TIMEOUT", value)
    with pytest.raises(ValueError, match="KERAS_DGM_TIMEOUT"):
        fetch()
