"""Presets on the Hugging Face Hub, addressed as hf://user/name (extra `hub`)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from .integrity import (
    CONFIG,
    KNOWN,
    METADATA,
    WEIGHTS,
    check_folder,
    parse_metadata,
    read_json,
)

_ADDRESS = re.compile(r"hf://([\w.-]+/[\w.-]+)")


def repository_of(address: str) -> str:
    """The `user/name` of an address `hf://user/name`."""
    matched = _ADDRESS.fullmatch(address)
    if matched is None or ".." in address:
        raise ValueError(f"{address!r} is no address on the hub: expected hf://user/name.")
    return matched[1]


def snapshot(address: str, revision: str | None, local_files_only: bool) -> Path:
    """The folder of the hub's own cache that holds the preset, fetched if need be.

    Raises:
        FileNotFoundError: when it is not in the hub's cache and the network is not to be used.
        ValueError: without the extra `hub`, or when the hub refuses or fails.
    """
    repository = repository_of(address)
    hub = _hub(address)
    options = {"revision": revision, "local_files_only": local_files_only}
    try:
        # The sizes that the metadata declares are judged before anything large is asked for.
        metadata = Path(hub.hf_hub_download(repository, METADATA, **options))
        parse_metadata(read_json(metadata), f"{address}/{METADATA}")
        # Only the files of a preset: no code, no pickle is even fetched.
        patterns = [CONFIG, WEIGHTS, METADATA]
        return Path(hub.snapshot_download(repository, allow_patterns=patterns, **options))
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{address} is not in the hub's cache on this machine: {error}"
        ) from None
    except Exception as error:
        # The hub's errors, and those of the client below it, have no class in common.
        raise ValueError(f"{address} could not be fetched from the hub: {error}") from error


def publish(folder: Path, address: str, private: bool = False) -> str:
    """Uploads a preset folder, checked whole first, and returns its page's address.

    Only the files a preset is made of are sent, whatever else lies in the folder.
    """
    repository = repository_of(address)
    check_folder(folder)
    hub = _hub(address)
    try:
        api = hub.HfApi()
        api.create_repo(repository, exist_ok=True, private=private)
        api.upload_folder(
            repo_id=repository,
            folder_path=str(folder),
            allow_patterns=list(KNOWN),
            commit_message="Publish a keras_dgm preset",
        )
    except Exception as error:
        raise ValueError(
            f"{folder} could not be published to {address}: {error}. Log in with hf auth login, "
            "or set HF_TOKEN."
        ) from error
    return f"https://huggingface.co/{repository}"


def _hub(address: str) -> Any:
    try:
        import huggingface_hub
    except ImportError:
        raise ValueError(
            f"{address} needs the package huggingface_hub, which is not installed. Install it with "
            'pip install "keras-dgm[hub]".'
        ) from None
    return huggingface_hub
