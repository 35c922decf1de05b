"""Opens HTTP(S) addresses and local files alike: time-outs, redirects, ranges, attempts."""

from __future__ import annotations

import http.client
import ipaddress
import logging
import os
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import IO, TypeVar

from .integrity import LARGEST_JSON, readable_size

TIMEOUT_VARIABLE = "KERAS_DGM_TIMEOUT"
ATTEMPTS = 3
PAUSE = 1.0
"""Seconds before the second attempt; each later pause is twice as long."""

_log = logging.getLogger("keras_dgm")
_Result = TypeVar("_Result")


class Transient(Exception):
    """A failure after which the same request may well succeed."""


class RangeRefused(Transient):
    """The server's file ends before the offset that was asked for."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never from https to anything less."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        check_url(newurl, secure=req.full_url.startswith("https://"))
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def check_url(url: str, secure: bool = False) -> None:
    """Refuses an address that is not http(s), or not https where `secure` asks for it."""
    scheme = urllib.parse.urlsplit(url).scheme
    if scheme not in ("http", "https"):
        raise ValueError(f"{url} has the scheme {scheme!r}, expected https.")
    if secure and scheme != "https" and not is_loopback(url):
        raise ValueError(f"{url} is not https: what it sends could be changed on the way. Refused.")


def is_loopback(url: str) -> bool:
    """Whether a URL's host is this machine."""
    host = urllib.parse.urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def join(base: str, *names: str) -> str:
    """The address (URL or path) of a file below `base`."""
    if "://" in base:
        return "/".join([base.rstrip("/"), *(urllib.parse.quote(name) for name in names)])
    return str(Path(base).joinpath(*names))


def fetch_small(address: str, what: str) -> bytes:
    """The content of a small text file at a URL or path.

    Raises:
        FileNotFoundError: when there is no such file (404).
        ValueError: when the server refuses or fails, or sends more than 16 MiB.
    """
    return attempts(lambda: _read_small(address), what, address)


def _read_small(address: str) -> bytes:
    with opened(address, 0) as (stream, _, _):
        content = b""
        while block := read_block(stream, LARGEST_JSON + 1 - len(content)):
            content += block
    if len(content) > LARGEST_JSON:
        raise ValueError(f"{address} sends more than {readable_size(LARGEST_JSON)}. Refused.")
    return content


class opened:
    """Opens a URL or a path at an offset: gives the stream, where it starts, and the whole size.

    The stream may start before the offset: a server is free to ignore it.
    """

    def __init__(self, address: str, offset: int):
        self.address, self.offset = address, offset

    def __enter__(self) -> tuple[IO[bytes], int, int | None]:
        if "://" not in self.address:
            path = Path(self.address)
            if not path.is_file():
                raise FileNotFoundError(f"{self.address} does not exist.")
            self.stream: IO[bytes] = open(path, "rb")
            self.stream.seek(self.offset)
            return self.stream, self.offset, path.stat().st_size
        check_url(self.address)
        headers = {"User-Agent": "keras-dgm", "Accept-Encoding": "identity"}
        if self.offset:
            headers["Range"] = f"bytes={self.offset}-"
        request = urllib.request.Request(self.address, headers=headers)
        opener = urllib.request.build_opener(_Redirects)
        try:
            response = opener.open(request, timeout=_timeout())
        except urllib.error.HTTPError as error:
            error.close()
            raise _http_failure(self.address, error.code) from None
        except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
            raise Transient(_reason(error)) from None
        self.stream = response
        return response, *_extent(response)

    def __exit__(self, *exception) -> None:
        self.stream.close()


def _extent(response) -> tuple[int, int | None]:
    """Where a response's first byte lies in the file, and the size of the whole file if stated."""
    if response.status == 206:
        matched = re.fullmatch(
            r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "")
        )
        if matched is None:
            raise Transient("the server sends a part of the file without saying which")
        return int(matched[1]), None if matched[2] == "*" else int(matched[2])
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isdigit() else None


def read_block(stream: IO[bytes], count: int) -> bytes:
    """Reads what is there, at most `count` bytes; a failing network is transient, a disk is not."""
    try:
        return stream.read1(count)  # type: ignore[attr-defined]
    except (http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise Transient(_reason(error)) from None


def attempts(action: Callable[[], _Result], what: str, address: str) -> _Result:
    """Runs `action` up to ATTEMPTS times while it fails in a way that may pass."""
    for attempt in range(ATTEMPTS):
        try:
            return action()
        except Transient as error:
            _log.info("%s: %s (attempt %d of %d)", address, error, attempt + 1, ATTEMPTS)
            reason = str(error)
        if attempt + 1 < ATTEMPTS:
            time.sleep(PAUSE * 2**attempt)
    raise ValueError(
        f"{what} could not be fetched from {address}: {reason}, {ATTEMPTS} times. Check the "
        "network and call again: what has arrived is kept and the download goes on from there."
    )


def _http_failure(address: str, code: int) -> Exception:
    if code in (404, 410):
        return FileNotFoundError(f"{address} does not exist on the server (HTTP {code}).")
    if code in (401, 403):
        return ValueError(f"{address}: the server refuses access (HTTP {code}). Is it public?")
    if code == 416:
        return RangeRefused(f"the server has fewer bytes than were asked for (HTTP {code})")
    if code in (408, 425, 429) or code >= 500:
        return Transient(f"the server answers with HTTP {code}")
    return ValueError(f"{address}: the server answers with HTTP {code}.")


def _reason(error: BaseException) -> str:
    cause = getattr(error, "reason", error)
    if isinstance(cause, TimeoutError):
        return f"no answer within {_timeout():g} s (${TIMEOUT_VARIABLE} sets this)"
    return str(cause) or type(cause).__name__


def _timeout() -> float:
    text = os.environ.get(TIMEOUT_VARIABLE, "30")
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not seconds > 0:
        raise ValueError(f"{TIMEOUT_VARIABLE}={text!r} is not a positive number of seconds.")
    return seconds
