"""The hub's side: addresses, the missing package, what is asked for and what is sent."""

import sys
import types

import pytest

from keras_dgm.presets import hub
from keras_dgm.presets.sources import locate


def test_without_the_package(monkeypatch, tmp_path, make):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ValueError, match=r'pip install "keras-dgm\[hub\]"'):
        locate("hf://user/name")
    with pytest.raises(ValueError, match=r'pip install "keras-dgm\[hub\]"'):
        hub.publish(make.folder(tmp_path / "mine"), "hf://user/name")


@pytest.fixture
def fake(monkeypatch, tmp_path, make):
    """A stand-in with the three calls that are used, of the signatures huggingface_hub gives."""
    folder = make.folder(tmp_path / "snapshot")
    calls = []
    module = types.ModuleType("huggingface_hub")

    def hf_hub_download(repo_id, filename, *, revision=None, local_files_only=False):
        calls.append(("file", repo_id, filename, revision, local_files_only))
        return str(folder / filename)

    def snapshot_download(repo_id, *, revision=None, local_files_only=False, allow_patterns=None):
        calls.append(("snapshot", repo_id, revision, local_files_only, allow_patterns))
        return str(folder)

    class HfApi:
        def create_repo(self, repo_id, *, exist_ok=False, private=None):
            calls.append(("create", repo_id, exist_ok, private))

        def upload_folder(self, *, repo_id, folder_path, allow_patterns, commit_message):
            calls.append(("upload", repo_id, folder_path, sorted(allow_patterns)))

    module.hf_hub_download, module.snapshot_download = hf_hub_download, snapshot_download
    module.HfApi = HfApi
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    module.calls, module.folder = calls, folder
    return module


def test_locate(fake):
    located = locate("hf://user/name", revision="v2", local_files_only=True)
    assert located.folder == fake.folder
    files = ["config.json", "model.weights.h5", "metadata.json"]
    assert fake.calls == [
        ("file", "user/name", "metadata.json", "v2", True),
        ("snapshot", "user/name", "v2", True, files),
    ]


def test_an_enormous_preset_is_not_fetched(fake, monkeypatch):
    monkeypatch.setenv("KERAS_DGM_MAX_PRESET_GB", "1e-9")
    with pytest.raises(ValueError, match="above the limit"):
        locate("hf://user/name")
    assert [call[0] for call in fake.calls] == ["file"]


def test_a_damaged_snapshot(fake):
    (fake.folder / "model.weights.h5").write_bytes(b"x" * 5000)
    with pytest.raises(ValueError, match="damaged or was changed"):
        locate("hf://user/name")


@pytest.mark.parametrize(
    "error, kind", [(FileNotFoundError("offline"), FileNotFoundError), (OSError("503"), ValueError)]
)
def test_failures(fake, monkeypatch, error, kind):
    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr(fake, "snapshot_download", fail)
    with pytest.raises(kind, match="hf://user/name"):
        locate("hf://user/name")


def test_publish_sends_only_what_a_preset_is_made_of(fake, tmp_path, make):
    folder = make.folder(tmp_path / "mine")
    (folder / "secret.key").write_text("x")
    assert hub.publish(folder, "hf://user/name", True) == "https://huggingface.co/user/name"
    assert fake.calls[0] == ("create", "user/name", True, True)
    kind, repository, path, patterns = fake.calls[1]
    assert (kind, repository, path) == ("upload", "user/name", str(folder))
    assert "secret.key" not in patterns and "recipe.py" not in patterns
    (folder / "config.json").write_text("changed")
    with pytest.raises(ValueError, match="damaged"):
        hub.publish(folder, "hf://user/name")
