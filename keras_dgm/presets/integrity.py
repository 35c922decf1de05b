"""What a preset folder holds, and how its files are recognised as whole and unchanged."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FORMAT_VERSION = 1

CONFIG = "config.json"
WEIGHTS = "model.weights.h5"
METADATA = "metadata.json"
METRICS = "metrics.json"
CARD = "README.md"
SAMPLES = "samples.png"
RECIPE = "recipe.py"

HASHED = (CONFIG, WEIGHTS)
KNOWN = (CONFIG, WEIGHTS, METADATA, METRICS, CARD, SAMPLES)
"""The only file names ever fetched: a recipe is code and comes with the installed package alone."""

LARGEST_JSON = 16 * 2**20
SIZE_VARIABLE = "KERAS_DGM_MAX_PRESET_GB"
_DEFAULT_GIGABYTES = 4.0
_HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class FileRecord:
    """The size in bytes and the sha256 that a file must have."""

    size: int
    sha256: str

    def as_dict(self) -> dict[str, Any]:
        return {"size": self.size, "sha256": self.sha256}


def largest_bytes() -> int:
    """The size above which a preset is refused: $KERAS_DGM_MAX_PRESET_GB gigabytes, 4 if unset."""
    text = os.environ.get(SIZE_VARIABLE, "")
    try:
        gigabytes = float(text) if text else _DEFAULT_GIGABYTES
    except ValueError:
        gigabytes = -1.0
    if not gigabytes > 0:
        raise ValueError(f"{SIZE_VARIABLE}={text!r} is not a positive number of gigabytes.")
    return int(gigabytes * 1e9)


def readable_size(count: float) -> str:
    """`count` bytes for people: "1.2 MB"."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def record_of(path: Path) -> FileRecord:
    """Size and sha256 of a file on disk."""
    digest = hashlib.sha256()
    size = 0
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
            size += len(block)
    return FileRecord(size, digest.hexdigest())


def parse_records(files: Any, where: str) -> dict[str, FileRecord]:
    """Reads `{"name": {"size", "sha256"}}`, refusing any name that is not a preset's own.

    Raises:
        ValueError: for a name that climbs out of the folder or is unknown, a malformed hash, or a
            size that is negative or above the limit of `largest_bytes()`.
    """
    if not isinstance(files, Mapping):
        raise ValueError(f"{where}: 'files' should map names to sizes and hashes, got {files!r}.")
    records = {}
    for name, entry in files.items():
        if name not in KNOWN:
            raise ValueError(
                f"{where} names the file {name!r}, which is not a preset's: expected one of "
                f"{', '.join(KNOWN)}. Nothing was read or written under that name."
            )
        size = entry.get("size") if isinstance(entry, Mapping) else None
        sha256 = entry.get("sha256") if isinstance(entry, Mapping) else None
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise ValueError(f"{where}: {name} has the size {size!r}, expected a count of bytes.")
        if not isinstance(sha256, str) or not _HEX.fullmatch(sha256):
            raise ValueError(f"{where}: {name} has the sha256 {sha256!r}, expected 64 hex digits.")
        records[name] = FileRecord(size, sha256)
    total = sum(record.size for record in records.values())
    if total > largest_bytes():
        raise ValueError(
            f"{where} declares {readable_size(total)}, above the limit of "
            f"{readable_size(largest_bytes())}. If you trust it, set {SIZE_VARIABLE} higher."
        )
    return records


def revision_of(records: Mapping[str, FileRecord]) -> str:
    """The name of a preset's content: 12 hex digits over the hashes of config and weights."""
    text = "\n".join(f"{name} {records[name].sha256}" for name in HASHED)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def parse_json(text: bytes | str, where: str) -> Any:
    """Parses JSON, turning damage and hostile nesting into a ValueError that names the file."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where} is not readable JSON ({error}): the file is damaged.") from None


def read_json(path: Path) -> Any:
    """Reads a JSON file of at most 16 MiB."""
    size = path.stat().st_size
    if size > LARGEST_JSON:
        raise ValueError(
            f"{path} has {readable_size(size)}; a preset's JSON has at most "
            f"{readable_size(LARGEST_JSON)}."
        )
    return parse_json(path.read_bytes(), str(path))


def parse_metadata(metadata: Any, where: str) -> dict[str, FileRecord]:
    """Checks the format version of a metadata.json and returns the records of its hashed files."""
    if not isinstance(metadata, Mapping):
        raise ValueError(f"{where} should hold an object, got {type(metadata).__name__}.")
    check_format(metadata, where)
    records = parse_records(metadata.get("files"), where)
    missing = [name for name in HASHED if name not in records]
    if missing:
        raise ValueError(f"{where} lacks the size and sha256 of {', '.join(missing)}.")
    return {name: records[name] for name in HASHED}


def check_format(document: Mapping[str, Any], where: str) -> None:
    """Refuses a document that says no format version, or one newer than this library knows."""
    version = document.get("format_version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ValueError(f"{where} has the format_version {version!r}, expected a number from 1.")
    if version > FORMAT_VERSION:
        raise ValueError(
            f"{where} has format version {version}; this keras_dgm reads up to {FORMAT_VERSION}. "
            "It was written by a newer version: upgrade with pip install --upgrade keras-dgm."
        )


def check_folder(folder: Path, expected: Mapping[str, FileRecord] | None = None) -> dict[str, Any]:
    """Checks a preset folder whole: names, sizes and hashes. Returns its metadata.

    Args:
        folder: the preset's folder.
        expected: records from a registry, which the folder's own metadata has to agree with.

    Raises:
        FileNotFoundError: when a file of the preset is missing.
        ValueError: when a file is not the one that metadata.json or `expected` describes.
    """
    missing = [name for name in (CONFIG, WEIGHTS, METADATA) if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{folder} is not a whole preset: it lacks {', '.join(missing)}. A preset is written "
            "by model.save_to_preset(folder)."
        )
    metadata = read_json(folder / METADATA)
    records = dict(parse_metadata(metadata, str(folder / METADATA)))
    for name, record in {**records, **(expected or {})}.items():
        path = folder / name
        if not path.is_file():
            raise FileNotFoundError(f"{folder} lacks {name}, which its registry entry lists.")
        size = path.stat().st_size
        if size != record.size:
            raise ValueError(
                f"{path} is damaged: it has {size} bytes, expected {record.size}. Fetch it again "
                "or restore it."
            )
        found = record_of(path)
        if found != record:
            raise ValueError(
                f"{path} is damaged or was changed: its sha256 is {found.sha256}, expected "
                f"{record.sha256}. Fetch it again or restore it."
            )
    return metadata
