"""Turns what a user names (registry name, folder, address) into a checked preset folder."""

from __future__ import annotations

import hashlib
import logging
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import hub, registry
from .fetch import Progress, fetch_folder
from .integrity import (
    METADATA,
    WEIGHTS,
    FileRecord,
    check_folder,
    parse_json,
    parse_metadata,
    read_json,
    revision_of,
)
from .transport import check_url, fetch_small, join

_log = logging.getLogger("keras_dgm")


@dataclass(frozen=True)
class Located:
    """A preset folder on this machine whose files have the sizes and hashes they should."""

    folder: Path
    metadata: dict[str, Any]
    revision: str


def locate(
    source: str | Path,
    revision: str | None = None,
    local_files_only: bool = False,
    progress: Progress | None = None,
) -> Located:
    """Finds a preset, fetching it if need be, and checks size and sha256 of its files.

    Args:
        source: a registry name, a folder, `https://...` or `hf://user/name`.
        revision: the content that is asked for, as `metadata.json` and the registry name it; for
            `hf://` a branch, tag or commit.
        local_files_only: do not use the network.
        progress: called as bytes arrive.

    Raises:
        FileNotFoundError: when the preset, or a file of it, is nowhere.
        ValueError: when it is damaged, of another revision, or cannot be fetched.
    """
    text = str(source)
    if text.startswith("hf://"):
        folder = hub.snapshot(text, revision, local_files_only)
        return _checked(folder, None, text)
    if "://" in text:
        folder = _from_url(text, revision, local_files_only, progress)
        return _checked(folder, revision, text)
    if isinstance(source, str) and registry.is_name(source):
        known = source in registry.installed_index()
        if known or not (Path(source) / METADATA).is_file():
            if known and (Path(source) / METADATA).is_file():
                warnings.warn(
                    f"{source!r} is read as the registry's preset; for the folder of that name "
                    f"write './{source}'.",
                    stacklevel=3,
                )
            folder, entry = registry.find(source, revision, local_files_only, progress)
            return _checked(folder, revision, text, entry.files)
    folder = Path(text).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{text!r} is neither a folder nor an address nor a registry name. Expected one of: "
            f"{', '.join(sorted(registry.installed_index())) or '(the registry is empty)'}; the "
            "folder that model.save_to_preset(folder) wrote; https://...; hf://user/name."
        )
    return _checked(folder, revision, text)


def _checked(
    folder: Path,
    revision: str | None,
    source: str,
    expected: dict[str, FileRecord] | None = None,
) -> Located:
    metadata = check_folder(folder, expected)
    found = revision_of(parse_metadata(metadata, str(folder / METADATA)))
    if revision not in (None, found):
        raise ValueError(f"{source} has revision {found!r}, expected {revision!r}.")
    return Located(folder, metadata, found)


def _from_url(url: str, revision: str | None, local_only: bool, progress: Progress | None) -> Path:
    check_url(url, secure=True)
    parent = registry.cache_folder() / "url" / _slug(url)
    if not local_only:
        address = join(url, METADATA)
        try:
            content = fetch_small(address, METADATA)
        except ValueError as error:
            cached = _newest(parent, revision)
            if cached is None:
                raise
            _log.warning("%s Using the copy in %s.", error, cached)
            return cached
        records = parse_metadata(parse_json(content, address), address)
        records[METADATA] = FileRecord(len(content), hashlib.sha256(content).hexdigest())
        found = revision_of(records)
        if revision in (None, found):
            folder = parent / found
            addresses = {name: join(url, name) for name in records}
            fetch_folder(addresses, records, folder, progress)
            return folder
    cached = _newest(parent, revision)
    if cached is not None:
        return cached
    if not local_only:
        raise ValueError(f"{url} has revision {found!r}, expected {revision!r}.")
    raise FileNotFoundError(
        f"{url} is not on this machine. Searched: the cache {parent}. Call without "
        f"local_files_only, or run keras-dgm download {url}."
    )


def _newest(parent: Path, revision: str | None) -> Path | None:
    """The cached folder of that revision, or of the one fetched last."""
    folders = [path for path in parent.glob("*") if (path / WEIGHTS).is_file()]
    folders = [path for path in folders if revision in (None, path.name)]
    folders = [path for path in folders if _names_itself(path)]
    return max(folders, key=lambda path: path.stat().st_mtime, default=None)


def _names_itself(folder: Path) -> bool:
    """Leaves out the unfinished `.partial` folders, whose name is not their revision."""
    if not (folder / METADATA).is_file():
        return False
    records = parse_metadata(read_json(folder / METADATA), str(folder / METADATA))
    return revision_of(records) == folder.name


def _slug(url: str) -> str:
    """A folder name for a URL: readable, and unique by a hash."""
    plain = re.sub(r"[^a-z0-9]+", "-", url.split("://", 1)[1].lower()).strip("-")[:40]
    return f"{plain}-{hashlib.sha256(url.encode()).hexdigest()[:12]}"
