"""Where presets are found: the installed zoo, the cache, a zoo's server, folders, addresses."""

import json

import pytest

from keras_dgm.presets import registry
from keras_dgm.presets.sources import locate


@pytest.fixture
def zoo(tmp_path, make, monkeypatch):
    """A zoo folder elsewhere that holds one preset, and is not installed."""
    folder = tmp_path / "elsewhere"
    make.folder(folder / "thing_digits")
    make.index(folder, "thing_digits")
    return folder


@pytest.fixture
def installed(zoo, tmp_path):
    """The same zoo, installed."""
    zoo.rename(tmp_path / "installed_zoo")
    return tmp_path / "installed_zoo"


def test_installed_zoo_comes_first_and_needs_no_network(installed, monkeypatch):
    monkeypatch.setenv("KERAS_DGM_ZOO_URL", "http://127.0.0.1:1")
    located = locate("thing_digits", local_files_only=True)
    assert located.folder == installed / "thing_digits"
    assert list(registry.installed_index()) == ["thing_digits"]


def test_zoo_in_a_folder_fills_the_cache(zoo, cache, monkeypatch):
    monkeypatch.setenv("KERAS_DGM_ZOO_URL", str(zoo))
    located = locate("thing_digits")
    assert located.folder == cache / "thing_digits" / located.revision
    assert sorted(path.name for path in located.folder.iterdir()) == [
        "config.json",
        "metadata.json",
        "model.weights.h5",
    ]


def test_zoo_on_a_server_then_offline_from_the_cache(zoo, server, monkeypatch):
    server.publish(zoo, "/zoo")
    monkeypatch.setenv("KERAS_DGM_ZOO_URL", server.url + "/zoo/")
    located = locate("thing_digits")
    count = len(server.requests)
    assert locate("thing_digits", local_files_only=True) == located
    assert locate("thing_digits", revision=located.revision, local_files_only=True) == located
    assert len(server.requests) == count
    server.close()
    assert locate("thing_digits") == located
    monkeypatch.delenv("KERAS_DGM_ZOO_URL")
    assert locate("thing_digits") == located


def test_weights_too_large_for_the_package_come_by_url(installed, server, make, cache):
    server.publish(installed / "thing_digits", "/big")
    make.index(installed, "thing_digits", url=server.url + "/big")
    (installed / "thing_digits" / "model.weights.h5").unlink()
    with pytest.raises(FileNotFoundError, match="Searched: the installed zoo .*; the cache"):
        locate("thing_digits", local_files_only=True)
    assert cache in locate("thing_digits").folder.parents


def test_a_server_whose_files_are_not_the_index_ones(installed, server, make, monkeypatch, cache):
    """What the installed index says holds, whatever a server offers under the same name."""
    other = make.folder(cache.parent / "other", weights=b"v" * 5000)
    server.publish(other, "/thing_digits")
    (installed / "thing_digits" / "model.weights.h5").unlink()
    monkeypatch.setenv("KERAS_DGM_ZOO_URL", server.url)
    with pytest.raises(ValueError, match="its sha256 is"):
        locate("thing_digits")
    assert not list(cache.rglob("model.weights.h5"))


def test_absent_without_a_server(installed):
    (installed / "thing_digits" / "model.weights.h5").unlink()
    with pytest.raises(FileNotFoundError, match="Set KERAS_DGM_ZOO_URL"):
        locate("thing_digits")


def test_unknown_names_get_the_nearest(installed):
    with pytest.raises(ValueError, match="no preset 'thing_digit'.*Did you mean thing_digits"):
        locate("thing_digit")
    with pytest.raises(ValueError, match="Known: thing_digits.*KERAS_DGM_ZOO_URL"):
        locate("qqq")


def test_another_revision_than_the_installed(installed, tmp_path, make, monkeypatch):
    newer = tmp_path / "newer"
    make.folder(newer / "thing_digits", weights=b"v" * 5000)
    make.index(newer, "thing_digits")
    monkeypatch.setenv("KERAS_DGM_ZOO_URL", str(newer))
    index = registry.remote_index()
    revision = index["thing_digits"].revision
    assert locate("thing_digits").revision != revision
    assert locate("thing_digits", revision=revision).revision == revision
    with pytest.raises(ValueError, match="of revision 'feed'.*installed zoo .which has revision"):
        locate("thing_digits", revision="feed")


def test_a_damaged_installed_preset(installed):
    weights = installed / "thing_digits" / "model.weights.h5"
    weights.write_bytes(b"x" * 5000)
    with pytest.raises(ValueError, match="damaged or was changed"):
        locate("thing_digits")
    weights.write_bytes(b"x")
    with pytest.raises(ValueError, match="has 1 bytes, expected 5000"):
        locate("thing_digits")


def test_folder(tmp_path, make):
    folder = make.folder(tmp_path / "mine")
    located = locate(folder)
    assert located.folder == folder
    assert locate(str(folder), revision=located.revision) == located
    with pytest.raises(ValueError, match=f"has revision '{located.revision}', expected 'feed'"):
        locate(folder, revision="feed")
    (folder / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match="lacks config.json"):
        locate(folder)


def test_a_folder_that_shares_a_registry_name(installed, tmp_path, make, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make.folder(tmp_path / "thing_digits", weights=b"mine")
    with pytest.warns(UserWarning, match="write './thing_digits'"):
        assert locate("thing_digits").folder == installed / "thing_digits"
    assert locate("./thing_digits").metadata["files"]["model.weights.h5"]["size"] == 4
    make.folder(tmp_path / "another")
    assert locate("another").folder.name == "another"


@pytest.mark.parametrize("name", ["../x", "Some Thing", "a/b", "~/nowhere", "C:\\x"])
def test_neither_folder_nor_name(name):
    with pytest.raises(FileNotFoundError, match="neither a folder nor an address"):
        locate(name)


def test_address(server, make, tmp_path, cache):
    server.publish(make.folder(tmp_path / "mine"), "/p")
    located = locate(server.url + "/p")
    assert cache in located.folder.parents
    server.close()
    assert locate(server.url + "/p") == located
    assert locate(server.url + "/p", local_files_only=True) == located


def test_address_that_was_updated(server, make, tmp_path):
    server.publish(make.folder(tmp_path / "mine"), "/p")
    first = locate(server.url + "/p")
    server.publish(make.folder(tmp_path / "mine", weights=b"v" * 100), "/p")
    second = locate(server.url + "/p")
    assert first.revision != second.revision
    assert locate(server.url + "/p", revision=first.revision) == first
    with pytest.raises(ValueError, match="expected 'feed'"):
        locate(server.url + "/p", revision="feed")


def test_address_never_fetched(server, tmp_path):
    with pytest.raises(FileNotFoundError, match="Searched: the cache .*keras-dgm download"):
        locate(server.url + "/p", local_files_only=True)
    with pytest.raises(FileNotFoundError, match="metadata.json does not exist on the server"):
        locate(server.url + "/p")
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    "address, says",
    [
        ("http://example.org/p", "is not https"),
        ("ftp://example.org/p", "scheme 'ftp'"),
        ("file:///etc", "scheme 'file'"),
        ("hf://name", "expected hf://user/name"),
        ("hf://../name", "expected hf://user/name"),
    ],
)
def test_refused_addresses(address, says):
    with pytest.raises(ValueError, match=says):
        locate(address)


@pytest.mark.parametrize(
    "change, says",
    [
        ({"format_version": 2}, "reads up to 1. It was written by a newer version"),
        ({"format_version": None}, "expected a number from 1"),
        ({"files": {"../../evil": {"size": 1, "sha256": "0" * 64}}}, r"names the file '../../evil"),
        ({"files": {"/etc/passwd": {"size": 1, "sha256": "0" * 64}}}, "is not a preset's"),
        ({"files": {"evil.py": {"size": 1, "sha256": "0" * 64}}}, "is not a preset's"),
        ({"files": {"config.json": {"size": 10**13, "sha256": "0" * 64}}}, "declares 10.0 TB"),
        ({"files": {"config.json": {"size": -1, "sha256": "0" * 64}}}, "expected a count of bytes"),
        ({"files": {"config.json": {"size": 1, "sha256": "zz"}}}, "expected 64 hex digits"),
        ({"files": {}}, "lacks the size and sha256 of config.json, model.weights.h5"),
        ({"files": 3}, "should map names"),
    ],
)
def test_refused_metadata(server, make, tmp_path, cache, change, says):
    folder = make.folder(tmp_path / "mine")
    metadata = json.loads((folder / "metadata.json").read_text())
    (folder / "metadata.json").write_text(json.dumps({**metadata, **change}))
    with pytest.raises(ValueError, match=says):
        locate(folder)
    server.publish(folder, "/p")
    with pytest.raises(ValueError, match=says):
        locate(server.url + "/p")
    assert [path for path, _ in server.requests] == ["/p/metadata.json"]
    assert not cache.exists()


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b"\xff\xfe", b"[" * 200_000])
def test_damaged_metadata(make, tmp_path, text):
    folder = make.folder(tmp_path / "mine")
    (folder / "metadata.json").write_bytes(text)
    with pytest.raises(ValueError, match="metadata.json"):
        locate(folder)


@pytest.mark.parametrize(
    "presets, says",
    [
        ({"../evil": {}}, "expected snake_case"),
        ({"a": 3}, "expected an object"),
        ({"a": {"files": {}}}, "lacks the size"),
        ({"a": {"files": {"../x": {}}}}, "is not a preset's"),
    ],
)
def test_refused_index(tmp_path, monkeypatch, presets, says):
    (tmp_path / "index.json").write_text(json.dumps({"format_version": 1, "presets": presets}))
    monkeypatch.setenv("KERAS_DGM_ZOO_URL", str(tmp_path))
    with pytest.raises(ValueError, match=says):
        locate("thing_digits")


def test_an_index_entry_cannot_point_at_local_files(zoo, make, monkeypatch):
    make.index(zoo, "thing_digits", url="/etc")
    monkeypatch.setenv("KERAS_DGM_ZOO_URL", str(zoo))
    with pytest.raises(ValueError, match="expected https"):
        locate("thing_digits")


@pytest.mark.parametrize("value", ["0", "-3", "many"])
def test_a_nonsensical_limit(tmp_path, make, monkeypatch, value):
    monkeypatch.setenv("KERAS_DGM_MAX_PRESET_GB", value)
    with pytest.raises(ValueError, match="KERAS_DGM_MAX_PRESET_GB"):
        locate(make.folder(tmp_path / "mine"))
