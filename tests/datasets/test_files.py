"""Look-up order, checksums and the real download code against a server on the loopback."""

import hashlib
import os
import socket

import numpy as np
import pytest

from keras_dgm import datasets
from keras_dgm.datasets import files, sources
from keras_dgm.datasets.sources import DataFile

CONTENT = bytes(range(256)) * 400
OTHER = CONTENT[::-1]


def _sha256(content):
    return hashlib.sha256(content).hexdigest()


def _data_file(path="folder/values.bin", url=None, content=CONTENT):
    return DataFile(path, (_sha256(content),), url)


def _everything_under(folder):
    return [path for path in folder.rglob("*") if path.is_file()] if folder.exists() else []


def test_a_download_arrives_whole_and_is_not_fetched_twice(server, home):
    server.files["values.bin"] = CONTENT
    alternatives = ((_data_file(url=f"{server.url}/values.bin"),),)
    index, paths = files.find("values", alternatives)
    assert index == 0
    assert paths == [home / "datasets" / "folder" / "values.bin"]
    assert paths[0].read_bytes() == CONTENT
    assert files.find("values", alternatives) == (0, paths)
    assert server.requests == ["values.bin"]
    assert _everything_under(home) == paths


@pytest.mark.parametrize(
    "fault, error, words",
    [
        ("truncated", FileNotFoundError, "retrieval incomplete"),
        ("corrupted", ValueError, "damaged"),
        ("missing", FileNotFoundError, "404"),
        ("refused", FileNotFoundError, "refused"),
        ("stalled", FileNotFoundError, "timed out"),
    ],
)
def test_a_failed_download_is_explained_and_leaves_nothing(
    server, home, monkeypatch, fault, error, words
):
    url = f"{server.url}/values.bin"
    if fault != "missing":
        server.files["values.bin"] = CONTENT
    server.faults["values.bin"] = fault
    if fault == "refused":
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{unused.getsockname()[1]}/values.bin"
    if fault == "stalled":
        monkeypatch.setattr(files, "DOWNLOAD_TIMEOUT", 0.3)
    with pytest.raises(error) as caught:
        files.find("values", ((_data_file(url=url),),))
    message = str(caught.value)
    for part in ("'values'", url, words, str(home / "datasets"), "$KERAS_DGM_DATA"):
        assert part in message
    assert _everything_under(home) == []
    assert os.listdir(home / "datasets" / "folder") == []
    assert socket.getdefaulttimeout() is None


def test_the_mirror_goes_before_the_official_address(server, home, monkeypatch):
    server.files = {"folder/values.bin": CONTENT, "official.bin": CONTENT}
    monkeypatch.setenv("KERAS_DGM_DATA_URL", server.url + "/")
    files.find("values", ((_data_file(url=f"{server.url}/official.bin"),),))
    assert server.requests == ["folder/values.bin"]


@pytest.mark.parametrize("fault", ["truncated", "corrupted", "missing"])
def test_a_broken_mirror_falls_back_to_the_official_address(server, home, monkeypatch, fault):
    server.files = {"folder/values.bin": CONTENT, "official.bin": CONTENT}
    server.faults["folder/values.bin"] = fault
    if fault == "missing":
        del server.files["folder/values.bin"]
    monkeypatch.setenv("KERAS_DGM_DATA_URL", server.url)
    _, paths = files.find("values", ((_data_file(url=f"{server.url}/official.bin"),),))
    assert paths[0].read_bytes() == CONTENT
    assert server.requests == ["folder/values.bin", "official.bin"]


def test_the_data_folder_goes_before_the_cache(server, home, monkeypatch, tmp_path):
    for root in (home / "datasets", tmp_path / "data"):
        (root / "folder").mkdir(parents=True)
        (root / "folder" / "values.bin").write_bytes(CONTENT)
    alternatives = ((_data_file(url=f"{server.url}/values.bin"),),)
    assert files.find("values", alternatives)[1][0].is_relative_to(home)
    monkeypatch.setenv("KERAS_DGM_DATA", str(tmp_path / "data"))
    assert files.find("values", alternatives)[1][0].is_relative_to(tmp_path / "data")
    assert server.requests == []


def test_an_alternative_in_the_folder_goes_before_a_preferred_one_elsewhere(
    server, home, monkeypatch, tmp_path
):
    preferred = _data_file("preferred.bin", f"{server.url}/preferred.bin")
    server.files["preferred.bin"] = CONTENT
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "second.bin").write_bytes(OTHER)
    monkeypatch.setenv("KERAS_DGM_DATA", str(tmp_path / "data"))
    alternatives = ((preferred,), (_data_file("second.bin", content=OTHER),))
    assert files.find("values", alternatives) == (1, [tmp_path / "data" / "second.bin"])
    # A folder with something else falls through to the download.
    (tmp_path / "data" / "second.bin").rename(tmp_path / "data" / "third.bin")
    assert files.find("values", alternatives)[0] == 0


def test_a_set_is_found_whole_or_completed(server, home):
    first = _data_file("first.bin", f"{server.url}/first.bin")
    second = _data_file("second.bin", f"{server.url}/second.bin", OTHER)
    server.files = {"first.bin": CONTENT, "second.bin": OTHER}
    (home / "datasets").mkdir(parents=True)
    (home / "datasets" / "first.bin").write_bytes(CONTENT)
    _, paths = files.find("values", ((first, second),))
    assert [path.read_bytes() for path in paths] == [CONTENT, OTHER]
    assert server.requests == ["second.bin"]


def test_a_damaged_file_in_the_data_folder_is_an_error(server, home, monkeypatch, tmp_path):
    (tmp_path / "values.bin").write_bytes(CONTENT[:-1])
    server.files["values.bin"] = CONTENT
    monkeypatch.setenv("KERAS_DGM_DATA", str(tmp_path))
    with pytest.raises(ValueError, match="Replace it") as caught:
        files.find("values", ((_data_file("values.bin", f"{server.url}/values.bin"),),))
    assert _sha256(CONTENT) in str(caught.value)
    assert _sha256(CONTENT[:-1]) in str(caught.value)
    assert server.requests == []


def test_a_damaged_file_in_the_cache_is_fetched_again(server, home):
    target = home / "datasets" / "values.bin"
    target.parent.mkdir(parents=True)
    target.write_bytes(CONTENT[:-1])
    alternatives = ((_data_file("values.bin", f"{server.url}/values.bin"),),)
    # Without a network the damaged file is named and kept for its owner to look at.
    with pytest.warns(UserWarning, match="again"), pytest.raises(ValueError, match="damaged"):
        files.find("values", alternatives)
    assert target.read_bytes() == CONTENT[:-1]
    server.files["values.bin"] = CONTENT
    with pytest.warns(UserWarning, match="again"):
        files.find("values", alternatives)
    assert target.read_bytes() == CONTENT


def test_every_accepted_checksum_is_accepted(server, home):
    file = DataFile("values.bin", (_sha256(OTHER), _sha256(CONTENT)), f"{server.url}/values.bin")
    server.files["values.bin"] = CONTENT
    assert files.find("values", ((file,),))[1][0].read_bytes() == CONTENT


def test_a_data_folder_that_does_not_exist_is_an_error(home, monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_DGM_DATA", str(tmp_path / "tpyo"))
    with pytest.raises(FileNotFoundError, match="tpyo"):
        datasets.load("mnist")
    assert len(datasets.load("digits").train) == 1297  # needs no file


def test_a_cache_that_cannot_be_written_is_an_error(server, tmp_path, home, monkeypatch):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "file"))
    with pytest.raises(FileNotFoundError, match="KERAS_HOME"):
        files.find("values", ((_data_file(url=f"{server.url}/values.bin"),),))


def test_without_an_official_address_the_error_says_so(home):
    with pytest.raises(FileNotFoundError, match="No official server") as caught:
        files.find("values", ((_data_file(),),))
    assert "KERAS_DGM_DATA_URL" in str(caught.value)


def test_load_downloads_decodes_and_caches(server, home, monkeypatch, tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (1965, 28, 20), dtype=np.uint8)
    np.savez(tmp_path / "frey_faces.npz", ff=frames)
    content = (tmp_path / "frey_faces.npz").read_bytes()
    file = DataFile("frey_faces.npz", (_sha256(content),))
    monkeypatch.setitem(sources.SOURCES, "frey_faces", ((file,),))
    monkeypatch.setenv("KERAS_DGM_DATA_URL", server.url)
    server.files["frey_faces.npz"] = content
    first = datasets.load("frey_faces")
    second = datasets.load("frey_faces")
    assert server.requests == ["frey_faces.npz"]
    np.testing.assert_array_equal(first.test.images, second.test.images)
    together = np.concatenate([split.images for split in first.splits.values()])
    expected = frames[..., np.newaxis].astype(np.float32) / 255
    np.testing.assert_array_equal(np.sort(together, axis=0), np.sort(expected, axis=0))
    assert str(home / "datasets" / "frey_faces.npz") in first.source


def test_the_table_is_well_formed():
    for name, alternatives in sources.SOURCES.items():
        assert name in datasets.list()
        assert any(all(file.url for file in group) for group in alternatives), name
        for file in (file for group in alternatives for file in group):
            assert all(len(bytes.fromhex(sha256)) == 32 for sha256 in file.sha256)
            assert file.url is None or file.url.endswith(file.path.rsplit("/", 1)[-1])
