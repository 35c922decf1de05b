"""The named presets: in the installed zoo, in the cache, at the address of $KERAS_DGM_ZOO_URL."""

from __future__ import annotations

import difflib
import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .fetch import Progress, fetch_folder, is_whole
from .integrity import (
    CONFIG,
    METADATA,
    WEIGHTS,
    FileRecord,
    check_format,
    parse_json,
    parse_records,
    read_json,
    revision_of,
)
from .transport import check_url, fetch_small, join

ZOO_VARIABLE = "KERAS_DGM_ZOO_URL"
INDEX = "index.json"
_log = logging.getLogger("keras_dgm")
_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


@dataclass(frozen=True)
class Entry:
    """What the registry says of one preset."""

    name: str
    description: str
    class_name: str
    parameters: int
    revision: str
    files: dict[str, FileRecord]
    metric: dict[str, Any] = field(default_factory=dict)
    url: str | None = None
    """Where the files lie when they are too large for the package; else the zoo's own folder."""

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(record.size for record in self.files.values())


def is_name(name: str) -> bool:
    """Whether `name` has the form of a registry name: snake_case, nothing else."""
    return _NAME.fullmatch(name) is not None


def zoo_folder() -> Path:
    """The installed zoo: inside the package, or beside it in a checkout of the sources."""
    package = Path(__file__).resolve().parent.parent
    inside, beside = package / "zoo", package.parent / "zoo"
    return inside if (inside / INDEX).is_file() else beside


def cache_folder() -> Path:
    """Where fetched presets are kept: keras_dgm/presets below $KERAS_HOME, by default ~/.keras."""
    home = os.environ.get("KERAS_HOME") or os.path.join(os.path.expanduser("~"), ".keras")
    return Path(home) / "keras_dgm" / "presets"


def zoo_address() -> str | None:
    """The URL or folder of $KERAS_DGM_ZOO_URL; None when it is not set."""
    return os.environ.get(ZOO_VARIABLE) or None


def installed_index() -> dict[str, Entry]:
    """The entries of the installed zoo's index.json; none when there is no such file."""
    path = zoo_folder() / INDEX
    return parse_index(read_json(path), str(path)) if path.is_file() else {}


def remote_index() -> dict[str, Entry]:
    """The entries of the index.json at $KERAS_DGM_ZOO_URL; none when the variable is not set.

    Raises:
        FileNotFoundError: when the address holds no index.json.
        ValueError: when it cannot be read or is damaged.
    """
    address = zoo_address()
    if address is None:
        return {}
    where = join(address, INDEX)
    return parse_index(parse_json(fetch_small(where, INDEX), where), where)


def parse_index(document: Any, where: str) -> dict[str, Entry]:
    """Reads an index.json.

    Raises:
        ValueError: for a newer format, a name that is no preset name, or a malformed entry.
    """
    if not isinstance(document, Mapping) or not isinstance(document.get("presets"), Mapping):
        raise ValueError(f"{where} is no index: expected an object with 'presets'.")
    check_format(document, where)
    entries = {}
    for name, value in document["presets"].items():
        if not is_name(name):
            raise ValueError(f"{where} names a preset {name!r}, expected snake_case. Refused.")
        entries[name] = _parse_entry(name, value, f"{where}, {name}")
    return entries


def _parse_entry(name: str, value: Any, where: str) -> Entry:
    if not isinstance(value, Mapping):
        raise ValueError(f"{where}: expected an object, got {type(value).__name__}.")
    files = parse_records(value.get("files"), where)
    lacking = [file for file in (CONFIG, WEIGHTS, METADATA) if file not in files]
    if lacking:
        raise ValueError(f"{where} lacks the size and sha256 of {', '.join(lacking)}.")
    revision = revision_of(files)
    if value.get("revision", revision) != revision:
        raise ValueError(
            f"{where} has the revision {value['revision']!r}, but its files make {revision!r}."
        )
    metric, url, parameters = value.get("metric"), value.get("url"), value.get("parameters", 0)
    if url is not None:
        check_url(str(url))
    if not isinstance(parameters, int):
        raise ValueError(f"{where}: 'parameters' is {parameters!r}, expected a count.")
    return Entry(
        name=name,
        description=str(value.get("description", "")),
        class_name=str(value.get("class", "")),
        parameters=parameters,
        revision=revision,
        files=files,
        metric=dict(metric) if isinstance(metric, Mapping) else {},
        url=None if url is None else str(url),
    )


def find(
    name: str,
    revision: str | None = None,
    local_files_only: bool = False,
    progress: Progress | None = None,
) -> tuple[Path, Entry]:
    """The folder of a named preset: from the installed zoo, the cache, or the zoo's server.

    Raises:
        FileNotFoundError: when the preset is nowhere, naming every place that was searched.
        ValueError: for a name the registry does not know, or a failed download.
    """
    searched = []
    entry = installed_index().get(name)
    if entry and revision in (None, entry.revision):
        folder = zoo_folder() / name
        if (folder / WEIGHTS).is_file():
            return folder, entry
        searched.append(f"the installed zoo {folder}")
    else:
        if entry:
            searched.append(f"the installed zoo (which has revision {entry.revision})")
        entry = _known_elsewhere(name, revision, local_files_only, searched)
    searched.append(f"the cache {cache_folder() / name}")
    if entry is None:
        raise _unknown(name, revision, searched)
    found = _cached(entry)
    if found:
        return found, entry
    source = entry.url or (zoo_address() and join(str(zoo_address()), name))
    if local_files_only or source is None:
        raise _absent(entry, searched, local_files_only)
    folder = cache_folder() / name / entry.revision
    addresses = {file: join(source, file) for file in entry.files}
    fetch_folder(addresses, entry.files, folder, progress)
    return folder, entry


def _cached(entry: Entry) -> Path | None:
    folder = cache_folder() / entry.name / entry.revision
    return folder if is_whole(folder, entry.files) else None


def _known_elsewhere(name, revision, local_files_only, searched) -> Entry | None:
    """The entry of a name or revision that the installed index does not have."""
    address = zoo_address()
    if address and not local_files_only:
        searched.append(f"the zoo at {address}")
        try:
            remote = remote_index().get(name)
        except (ValueError, FileNotFoundError) as error:
            # Offline, what was fetched before still loads.
            cached = _cached_entry(name, revision)
            if cached is None:
                raise
            _log.warning("%s Using the cached %s.", error, cached.revision)
            return cached
        if remote and revision in (None, remote.revision):
            return remote
    return _cached_entry(name, revision)


def _cached_entry(name: str, revision: str | None) -> Entry | None:
    """An entry made of a folder in the cache: of that revision, or the one fetched last."""
    parent = cache_folder() / name
    folders = [path for path in parent.glob("*") if (path / METADATA).is_file()]
    folders = [path for path in folders if revision in (None, path.name)]
    for folder in sorted(folders, key=lambda path: path.stat().st_mtime, reverse=True):
        metadata = read_json(folder / METADATA)
        files = parse_records(metadata.get("files"), str(folder / METADATA))
        if revision_of(files) == folder.name:
            return Entry(name, "", str(metadata.get("class", "")), 0, folder.name, files)
    return None


def _unknown(name: str, revision: str | None, searched: list[str]) -> Exception:
    known = sorted(installed_index())
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    text = f"There is no preset {name!r}"
    text += f" of revision {revision!r}. " if revision else ". "
    text += f"Did you mean {', '.join(near)}? " if near else ""
    text += f"Known: {', '.join(known) or 'none'}. " if not near else ""
    text += f"Searched: {'; '.join(searched)}."
    if zoo_address() is None:
        text += f" A zoo on a server or in a folder is searched when {ZOO_VARIABLE} names it."
    return ValueError(text)


def _absent(entry: Entry, searched: list[str], local_files_only: bool) -> Exception:
    text = f"The preset {entry.name!r} (revision {entry.revision}) is not on this machine. "
    text += f"Searched: {'; '.join(searched)}. Missing: {', '.join(entry.files)}. "
    if local_files_only:
        text += f"Call without local_files_only, or run keras-dgm download {entry.name}."
    else:
        text += f"Set {ZOO_VARIABLE} to the web server or folder that holds it."
    return FileNotFoundError(text)
