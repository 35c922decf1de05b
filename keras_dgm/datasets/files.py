"""Finding a data set's files: the data folder, Keras' cache, then a checked download."""

import contextlib
import os
import pathlib
import shutil
import socket
import tempfile
import warnings

import keras

DATA_FOLDER = "KERAS_DGM_DATA"
DATA_URL = "KERAS_DGM_DATA_URL"
# A server that stops sending must not hang a training script.
DOWNLOAD_TIMEOUT = 60.0


def data_folder():
    """The folder named by `$KERAS_DGM_DATA`, or None.

    Raises:
        FileNotFoundError: the variable is set and no such folder exists.
    """
    value = os.environ.get(DATA_FOLDER)
    if not value:
        return None
    folder = pathlib.Path(value).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(
            f"${DATA_FOLDER} is set to {value!r}, which is no folder. Point it to the folder that "
            f"holds the data files, or unset it to use Keras' cache and downloads."
        )
    return folder


def cache_folder():
    """Keras' folder for data sets: `datasets/` under `$KERAS_HOME` or `~/.keras`."""
    home = os.environ.get("KERAS_HOME") or os.path.join("~", ".keras")
    return pathlib.Path(home).expanduser() / "datasets"


def find(name, alternatives):
    """Paths of the files of one of `alternatives`, downloaded if need be.

    Looks for a complete set first in `$KERAS_DGM_DATA`, then in Keras' cache; otherwise downloads
    what is missing into the cache, from `$KERAS_DGM_DATA_URL` if set (the base address of a plain
    web server that holds the files under their names) and then from the official address. Every
    file is checked against its sha256, wherever it was found. A download is written beside its
    target and moved there when it is complete and right.

    Args:
        name: of the data set, for messages.
        alternatives: tuples of `DataFile`, each a complete set, in the order of preference.

    Returns:
        (index, paths): which alternative was found, and a list of `pathlib.Path`, one a file.

    Raises:
        ValueError: a file of the data folder is damaged, or every copy that could be fetched is.
        FileNotFoundError: a file is in neither folder and could not be fetched.
    """
    folder = data_folder()
    if folder is not None:
        for index, files in enumerate(alternatives):
            paths = [folder / file.path for file in files]
            if all(path.is_file() for path in paths):
                for file, path in zip(files, paths, strict=True):
                    _check_data_folder_file(file, path)
                return index, paths
    cache = cache_folder()
    for index, files in enumerate(alternatives):
        paths = [cache / file.path for file in files]
        if all(path.is_file() for path in paths):
            if not any(_mismatch(f, p) for f, p in zip(files, paths, strict=True)):
                return index, paths
    problems = []
    damaged = False
    for index, files in enumerate(alternatives):
        paths = []
        for file in files:
            path, failures = _fetch(file, cache / file.path)
            problems += [message for message, _ in failures]
            damaged |= any(is_damage for _, is_damage in failures)
            if path is None:
                break
            paths.append(path)
        else:
            return index, paths
    raise _explain(name, alternatives, folder, cache, problems, damaged)


def _mismatch(file, path):
    """A sentence if the file at `path` does not have an accepted checksum, otherwise None."""
    found = file.digest(str(path))
    if found in file.sha256:
        return None
    expected = " or ".join(file.sha256)
    return (
        f"{path} ({path.stat().st_size} bytes) has sha256 {found}; expected {expected}: the file "
        f"is damaged, incomplete, or another file of that name"
    )


def _check_data_folder_file(file, path):
    message = _mismatch(file, path)
    if message:
        raise ValueError(
            f"{message}. Replace it, or remove it from ${DATA_FOLDER} so that Keras' cache and "
            f"downloads are used instead."
        )


def _fetch(file, target):
    """Finds `file` at `target` or downloads it there.

    Returns:
        (path, failures): the path, or None; what went wrong on the way, as (message, is_damage).
    """
    failures = []
    if target.is_file():
        message = _mismatch(file, target)
        if not message:
            return target, []
        warnings.warn(f"{message}. It will be downloaded again.", stacklevel=4)
        failures.append((message, True))
    base = os.environ.get(DATA_URL)
    urls = [f"{base.rstrip('/')}/{file.path}"] if base else []
    urls += [file.url] if file.url else []
    for url in urls:
        try:
            _download(file, url, target)
        except ValueError as error:
            failures.append((str(error), True))
        except OSError as error:
            failures.append((str(error), False))
        else:
            return target, failures
    return None, failures


def _download(file, url, target):
    """Downloads `url`, checks it and moves it to `target`.

    Raises:
        ValueError: what came has the wrong checksum.
        OSError: the server could not be reached, or sent an error or too little; or the cache
            cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.mkdtemp(prefix=".download-", dir=target.parent)
    except OSError as error:
        raise OSError(f"{target.parent} cannot be written ({error}); set $KERAS_HOME") from error
    try:
        # get_file removes an unfinished download, but leaves a file with a wrong checksum where
        # the data should be, and raises bare Exceptions: hence the folder of our own.
        try:
            with _socket_timeout(DOWNLOAD_TIMEOUT):
                path = keras.utils.get_file(
                    fname=target.name, origin=url, cache_dir=scratch, cache_subdir=""
                )
        except Exception as error:
            raise OSError(f"{url} could not be downloaded: {error}") from error
        message = _mismatch(file, pathlib.Path(path))
        if message:
            raise ValueError(f"{url} was downloaded as {message}")
        os.replace(path, target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@contextlib.contextmanager
def _socket_timeout(seconds):
    # urlretrieve, which get_file uses, takes no timeout of its own.
    previous = socket.getdefaulttimeout()
    if previous is None:
        socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(previous)


def _explain(name, alternatives, folder, cache, problems, damaged):
    wanted = " or ".join(", ".join(file.path for file in files) for files in alternatives)
    looked = f"${DATA_FOLDER} ({folder if folder is not None else 'not set'}), {cache}"
    lines = [f"Data set {name!r} needs {wanted}.", f"Looked in: {looked}."]
    if problems:
        lines.append("What went wrong:")
        lines += [f"  - {problem}" for problem in problems]
    elif not any(file.url for files in alternatives for file in files):
        lines.append("No official server holds this file.")
    lines.append(
        f"To go on without a network, put the file(s) into a folder and set ${DATA_FOLDER} to it, "
        f"or set ${DATA_URL} to a web server that holds them; data set 'digits' and the "
        f"two-dimensional ones need no file."
    )
    return (ValueError if damaged else FileNotFoundError)("\n".join(lines))
