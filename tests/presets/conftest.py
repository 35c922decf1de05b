"""A cache of its own for every test, a web server that misbehaves on request, a small preset."""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from keras_dgm.presets import registry, transport
from keras_dgm.presets.integrity import FORMAT_VERSION


@pytest.fixture(autouse=True)
def isolated(monkeypatch, tmp_path):
    """No test sees the user's cache or zoo, or waits between attempts."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    for name in ("KERAS_DGM_ZOO_URL", "KERAS_DGM_MAX_PRESET_GB", "KERAS_DGM_TIMEOUT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(transport, "PAUSE", 0.01)
    monkeypatch.setattr(registry, "zoo_folder", lambda: tmp_path / "installed_zoo")


@pytest.fixture
def cache(tmp_path):
    """The folder in which fetched presets end up."""
    return tmp_path / "home" / "keras_dgm" / "presets"


class Server:
    """A web server on the loopback address.

    `files` maps paths to contents; `faults` maps a path to a list of functions of the request
    handler and the content, used up one a request, after which the file is sent as it should be.
    `requests` records (path, Range header or None).
    """

    def __init__(self):
        self.files, self.faults, self.requests = {}, {}, []
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.0"

            def do_GET(self):
                server.requests.append((self.path, self.headers.get("Range")))
                content = server.files.get(self.path)
                waiting = server.faults.get(self.path)
                if waiting:
                    waiting.pop(0)(self, content)
                elif content is None:
                    self.send_error(404)
                else:
                    send(self, content)

            def log_message(self, *arguments):
                """Keeps the test's output free of the server's log."""

        class Quiet(ThreadingHTTPServer):
            def handle_error(self, request, client_address):
                """A client that hangs up is what some tests are about."""

        self.httpd = Quiet(("127.0.0.1", 0), Handler)
        self.httpd.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.httpd.server_address[1]}"
        threading.Thread(target=self.httpd.serve_forever, args=(0.01,), daemon=True).start()

    def publish(self, folder: Path, prefix: str = "") -> None:
        """Serves every file of a folder."""
        for path in folder.rglob("*"):
            if path.is_file():
                self.files[f"{prefix}/{path.relative_to(folder)}"] = path.read_bytes()

    def close(self):
        self.httpd.shutdown()
        self.httpd.server_close()


def send(handler, content, declared=None):
    """Sends a file, the asked range of it where there is one."""
    asked = handler.headers.get("Range")
    total = len(content) if declared is None else declared
    start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
    if asked and start >= len(content):
        handler.send_error(416)
        return
    handler.send_response(206 if asked else 200)
    if asked:
        handler.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
    handler.send_header("Content-Length", str(total - start))
    handler.end_headers()
    handler.wfile.write(content[start:])


@pytest.fixture
def server():
    """A running `Server`."""
    server = Server()
    yield server
    server.close()


def write_folder(folder: Path, weights: bytes = b"w" * 5000, config: bytes = b"{}") -> Path:
    """A folder with the form of a preset whose contents are no model's: enough to be fetched."""
    folder.mkdir(parents=True, exist_ok=True)
    contents = {"config.json": config, "model.weights.h5": weights}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    metadata = {"format_version": FORMAT_VERSION, "class": "Thing", "parameters": 1}
    metadata["files"] = {name: record(content) for name, content in contents.items()}
    (folder / "metadata.json").write_text(json.dumps(metadata))
    return folder


def record(content: bytes) -> dict:
    """Size and sha256 as metadata.json and index.json write them."""
    return {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def write_index(zoo: Path, *names: str, **options) -> None:
    """The index.json of a zoo folder that holds the presets `names`."""
    presets = {}
    for name in names:
        files = {path.name: record(path.read_bytes()) for path in (zoo / name).iterdir()}
        presets[name] = {"class": "Thing", "parameters": 1, "files": files, **options}
    document = {"format_version": FORMAT_VERSION, "presets": presets}
    (zoo / "index.json").write_text(json.dumps(document))


@pytest.fixture
def make():
    """The helpers that write preset folders and indices."""

    class Make:
        folder = staticmethod(write_folder)
        index = staticmethod(write_index)
        record = staticmethod(record)
        send = staticmethod(send)

    return Make
