from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

from tasks.hippocampus import data
from tasks.sources import SourceError
from tests.conftest import available

GENERATOR = np.random.default_rng(0)
SHAPES = ((4, 6, 5), (3, 4, 5))
VOLUMES: list[np.ndarray] = [GENERATOR.integers(1000, size=shape).astype(np.float32) for shape in SHAPES]
LABELS: list[np.ndarray] = [GENERATOR.integers(3, size=shape).astype(np.uint8) for shape in SHAPES]
NAMES = ("hippocampus_001.nii.gz", "hippocampus_017.nii.gz")
ONE_MM = np.eye(4)


def nifti(voxels: np.ndarray, affine: np.ndarray = ONE_MM) -> bytes:
    return gzip.compress(nibabel.Nifti1Image(voxels, affine).to_bytes())


def write_folder(root: Path) -> Path:
    folder = root / "hippocampus"
    for kind, arrays in (("images", VOLUMES), ("labels", LABELS)):
        (folder / kind).mkdir(parents=True)
        for name, voxels in zip(NAMES, arrays, strict=True):
            (folder / kind / name).write_bytes(nifti(voxels))
    return folder


def write_archive(path: Path) -> None:
    members = {"Task04_Hippocampus/dataset.json": b"{}", "Task04_Hippocampus/imagesTs/hippocampus_002.nii.gz": b"none"}
    for kind, arrays in (("imagesTr", VOLUMES), ("labelsTr", LABELS)):
        for name, voxels in zip(NAMES, arrays, strict=True):
            members[f"./Task04_Hippocampus/{kind}/._{name}"] = b"what macOS leaves"
            members[f"./Task04_Hippocampus/{kind}/{name}"] = nifti(voxels)
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def assert_made(arrays: dict[str, np.ndarray]) -> None:
    np.testing.assert_array_equal(arrays["shapes"], SHAPES)
    for kind, expected in (("values", VOLUMES), ("labels", LABELS)):
        for one, other in zip(data.parted(arrays[kind], arrays["shapes"]), expected, strict=True):
            np.testing.assert_array_equal(one, other)
    assert arrays["values"].dtype == np.float32
    assert arrays["labels"].dtype == np.uint8


def test_data_dir_may_hold_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    folder = write_folder(tmp_path)
    (folder / "images" / "._hippocampus_001.nii.gz").write_bytes(b"what macOS leaves")
    assert_made(data.from_data_dir())


def test_data_dir_may_hold_the_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    (tmp_path / "hippocampus").mkdir()
    write_archive(tmp_path / "hippocampus" / data.PACKED)
    assert_made(data.from_data_dir())


def test_axes_are_turned_to_the_right_to_the_front_and_up() -> None:
    """A file whose axes run up, to the left and to the back."""
    affine = np.array([[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]])
    stored = VOLUMES[0][::-1, ::-1].transpose(2, 0, 1)
    np.testing.assert_array_equal(data.voxels(nifti(stored, affine)), VOLUMES[0])


def test_voxels_of_another_size_are_told() -> None:
    with pytest.raises(SourceError, match=r"expected voxels of 1 mm, received \(1.0, 1.0, 2.5\)"):
        data.voxels(nifti(VOLUMES[0], np.diag([1, 1, 2.5, 1])))


def damaged(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def no_volume(path: Path) -> None:
    path.write_bytes(gzip.compress(b"no volume" * 100))


def other_shape(path: Path) -> None:
    path.write_bytes(nifti(LABELS[0][:-1]))


def other_labels(path: Path) -> None:
    path.write_bytes(nifti(LABELS[0] + 1))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (damaged, "ended before"),
        (no_volume, ""),
        (Path.unlink, "as many images as labels"),
        (other_shape, "the labels of hippocampus_001.nii.gz do not fit"),
        (other_labels, "the labels of hippocampus_001.nii.gz do not fit"),
    ],
)
def test_what_is_damaged_is_a_source_error(
    damage: Callable[[Path], None], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    damage(write_folder(tmp_path) / "labels" / NAMES[0])
    with pytest.raises(SourceError, match=f"cannot read {tmp_path}.*{reason}"):
        data.from_data_dir()


@pytest.mark.parametrize("content", [b"", b"no archive"])
def test_a_damaged_archive_is_a_source_error(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / data.PACKED
    path.write_bytes(content)
    with pytest.raises(SourceError, match=f"cannot read {path}"):
        data.read_archive(path)


def test_the_volumes_are_those_that_were_published() -> None:
    task = available("hippocampus")
    splits = {name: task.load(name) for name in ("train", "validation", "test")}
    assert {name: len(split) for name, split in splits.items()} == {
        "train": data.TRAIN_SIZE,
        "validation": 26,
        "test": 50,
    }
    shapes = np.array([volume.shape for split in splits.values() for volume in split.inputs])
    assert (shapes.min(axis=0).tolist(), shapes.max(axis=0).tolist()) == ([31, 40, 24], [43, 59, 47])
    for split in splits.values():
        assert all(set(np.unique(label)) == {0, 1, 2} for label in split.targets)
    groups = [split.groups for split in splits.values() if split.groups is not None]
    assert [len(set(of_split.tolist())) for of_split in groups] == [data.TRAIN_PATIENTS, data.VALIDATION_PATIENTS, 34]


def test_both_volumes_of_a_patient_are_in_one_split() -> None:
    numbers = np.array([1, 2, 3, 4, 9, 11, 12, 394])
    splits = data.by_patient(numbers)
    assert sorted(np.concatenate(list(splits.values())).tolist()) == list(range(8))
    for first, second in ((0, 1), (2, 3), (5, 6)):
        assert len([name for name, rows in splits.items() if {first, second} & set(rows.tolist())]) == 1


def test_the_numbers_2k_minus_1_and_2k_are_of_one_patient() -> None:
    """Scanners store whole numbers. Most of these volumes have them times a factor, and the one beside has the same in
    each of the pairs that are said to be of one patient, and in no other."""
    available("hippocampus")
    arrays = data.everything()
    volumes = dict(zip(arrays["numbers"].tolist(), data.parted(arrays["values"], arrays["shapes"]), strict=True))
    factors = {number: float(np.median(np.diff(np.unique(volume))[:200])) for number, volume in volumes.items()}
    scaled = {number for number, factor in factors.items() if abs(factor - 1) > 1e-3}
    beside = [(number, number + 1) for number in sorted(scaled) if number + 1 in scaled]
    alike = {pair for pair in beside if factors[pair[0]] == pytest.approx(factors[pair[1]], rel=2e-3)}
    assert alike == {pair for pair in beside if pair[0] % 2 == 1}
    assert (len(alike), len(beside)) == (71, 131)


def test_both_hippocampi_of_a_patient_are_of_a_size() -> None:
    available("hippocampus")
    arrays = data.everything()
    labels = dict(zip(arrays["numbers"].tolist(), data.parted(arrays["labels"], arrays["shapes"]), strict=True))
    sizes = {number: int(np.count_nonzero(label)) for number, label in labels.items()}
    for first, low, high in ((1, 0.9, 1.0), (2, -0.1, 0.1)):
        pairs = [
            (sizes[number], sizes[number + 1]) for number in range(first, 394, 2) if {number, number + 1} <= set(sizes)
        ]
        assert low < np.corrcoef(np.transpose(pairs))[0, 1] < high


def test_the_anterior_part_lies_in_front_of_the_posterior_one() -> None:
    for label in available("hippocampus").load("validation").targets:
        anterior, posterior = (np.argwhere(label == place)[:, 1].mean() for place in (1, 2))
        assert anterior > posterior
