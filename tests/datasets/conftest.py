"""A plain web server on the loopback address, with the faults that real ones show."""

import http.server
import threading
import time

import pytest


class FaultyServer(http.server.ThreadingHTTPServer):
    """Serves `files` (path -> bytes); `faults` (path -> name) says how it goes wrong."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = {}
        self.faults = {}
        self.requests = []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        path = self.path.lstrip("/")
        self.server.requests.append(path)
        fault = self.server.faults.get(path)
        content = self.server.files.get(path)
        if content is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if fault == "truncated":
            content = content[: len(content) // 2]
        elif fault == "corrupted":
            content = bytes([content[0] ^ 1]) + content[1:]
        elif fault == "stalled":
            self.wfile.write(content[:10])
            self.wfile.flush()
            time.sleep(3)
            return
        self.wfile.write(content)

    def log_message(self, *arguments):
        del arguments


@pytest.fixture
def server():
    server = FaultyServer()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def home(monkeypatch, tmp_path):
    """An empty Keras home; no data folder, no mirror, no proxy."""
    folder = tmp_path / "keras"
    monkeypatch.setenv("KERAS_HOME", str(folder))
    monkeypatch.delenv("KERAS_DGM_DATA", raising=False)
    monkeypatch.delenv("KERAS_DGM_DATA_URL", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return folder
