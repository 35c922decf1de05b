"""Brings files of known size and hash together in a folder: resumed, bounded, verified, atomic."""

from __future__ import annotations

import errno
import logging
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from .integrity import FileRecord, readable_size, record_of
from .locks import locked
from .transport import RangeRefused, Transient, attempts, opened, read_block

Progress = Callable[[str, int, int], None]
"""Called with a file's name, the bytes that have arrived and the bytes expected."""

_log = logging.getLogger("keras_dgm")


def fetch_folder(
    addresses: Mapping[str, str],
    records: Mapping[str, FileRecord],
    folder: Path,
    progress: Progress | None = None,
) -> None:
    """Brings files together in `folder`, which appears whole or not at all.

    Two processes that ask for the same folder at once take turns, and the second finds the work
    done. What an interrupted call has fetched stays in `folder.partial`, and the next call goes on
    from there; a file that arrives damaged is deleted.

    Args:
        addresses: URL or path of each file, by name.
        records: the size and sha256 of each, by name.
        folder: where they end up.
        progress: called as bytes arrive.

    Raises:
        FileNotFoundError: when a file is not on the server.
        ValueError: for every other failure, saying which file, from where, and what to do.
    """
    if is_whole(folder, records):
        # Without a lock, since a cache that holds it may be read-only.
        return
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with locked(folder.with_name(folder.name + ".lock")):
            if is_whole(folder, records):
                return
            _fetch_locked(addresses, records, folder, progress)
    except OSError as error:
        if isinstance(error, FileNotFoundError) and error.errno is None:
            raise  # ours: the server does not have the file
        raise _local_failure(error, folder) from None


def is_whole(folder: Path, records: Mapping[str, FileRecord]) -> bool:
    """Whether `folder` holds every file of `records`, with its size and hash."""
    for name, record in records.items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != record.size or record_of(path) != record:
            return False
    return True


def _fetch_locked(addresses, records, folder, progress):
    partial = folder.with_name(folder.name + ".partial")
    partial.mkdir(exist_ok=True)
    for path in partial.iterdir():
        if path.name.removesuffix(".part") not in records:
            path.unlink()
    needed = sum(r.size for r in records.values()) - sum(
        p.stat().st_size for p in partial.iterdir()
    )
    free = shutil.disk_usage(partial).free
    if needed > free:
        _discard_if_empty(partial)
        raise ValueError(
            f"The preset needs {readable_size(needed)} in {folder.parent}, where "
            f"{readable_size(free)} are free. Make room, or set KERAS_HOME to a larger disk."
        )
    for name, record in records.items():
        _fetch_verified(addresses[name], partial / name, record, progress)
    if folder.exists():
        # A damaged copy: the whole one takes its place.
        shutil.rmtree(folder)
    os.replace(partial, folder)


def _fetch_verified(address: str, path: Path, record: FileRecord, progress: Progress | None):
    """Leaves the file at `path`; its bytes gather in `path.part` until they are verified."""
    if path.is_file() and path.stat().st_size == record.size and record_of(path) == record:
        return
    part = path.with_name(path.name + ".part")
    resumed = part.is_file() and part.stat().st_size > 0
    attempts(lambda: _fetch_part(address, part, record, progress), path.name, address)
    found = record_of(part)
    if found != record and resumed:
        # The first bytes came from an earlier call and may be of another version of the file.
        part.unlink()
        attempts(lambda: _fetch_part(address, part, record, progress), path.name, address)
        found = record_of(part)
    if found != record:
        part.unlink()
        raise ValueError(
            f"{address} does not hold the expected {path.name}: its sha256 is {found.sha256}, "
            f"expected {record.sha256}. The damaged download was deleted; the file on the server "
            "is corrupt or of another version."
        )
    os.replace(part, path)


def _fetch_part(address: str, part: Path, record: FileRecord, progress: Progress | None) -> None:
    have = part.stat().st_size if part.is_file() else 0
    if have > record.size:
        part.unlink()
        have = 0
    if have == record.size and part.is_file():
        return
    try:
        with opened(address, have) as (stream, start, total):
            if total is not None and total != record.size:
                raise ValueError(
                    f"{address} has {total} bytes, expected {record.size}: the file on the server "
                    "is truncated or of another version. Nothing was kept."
                )
            if start > have:
                raise Transient(f"the server sends bytes from {start}, {have} were asked for")
            arrived = _append(stream, start, part, address, record, progress)
    except RangeRefused:
        part.unlink(missing_ok=True)
        raise
    if arrived < record.size:
        raise Transient(f"the connection ended after {arrived} of {record.size} bytes")


def _append(stream, start, part, address, record, progress) -> int:
    """Writes a stream into `part` from the byte `start` on; returns the size that it reaches."""
    arrived = start
    with open(part, "r+b" if start else "wb") as file:
        file.seek(start)
        while block := read_block(stream, min(1 << 18, record.size + 1 - arrived)):
            arrived += len(block)
            if arrived > record.size:
                part.unlink()
                raise ValueError(
                    f"{address} sends more than the expected {record.size} bytes: it is of another "
                    "version or damaged. Nothing was kept."
                )
            file.write(block)
            if progress:
                progress(part.name.removesuffix(".part"), arrived, record.size)
        file.flush()
        os.fsync(file.fileno())
    return arrived


def _local_failure(error: OSError, folder: Path) -> Exception:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        partial = folder.with_name(folder.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        return ValueError(
            f"The disk of {folder.parent} is full: the unfinished download was deleted. Make room, "
            "or set KERAS_HOME to a larger disk."
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return ValueError(
            f"The preset cache {folder.parent} cannot be written ({error.strerror}). Set "
            "KERAS_HOME to a folder that can."
        )
    return ValueError(f"{folder} could not be written: {error}")


def _discard_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        _log.debug("%s keeps what an earlier download left", folder)
