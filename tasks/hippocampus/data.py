"""MRI of the hippocampus: task 4 of the Medical Segmentation Decathlon (Antonelli et al. 2022, arXiv:1902.09063), 260
volumes with two structures outlined by hand."""

from __future__ import annotations

import gzip
import re
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tasks.contract import Ragged, Split, SplitName, one_line
from tasks.sources import UNREADABLE, Arrays, SourceError, data_dir, downloaded, fetch

CLASSES = ("background", "anterior", "posterior")
SPACING = (1.0, 1.0, 1.0)  # mm, of every volume's voxels
# The challenge's own archive, as MONAI's DecathlonDataset downloads it; its MD5 is 9d24dba78a72977dbd1d2e110310f31b.
ARCHIVE = "https://msd-for-monai.s3-us-west-2.amazonaws.com/Task04_Hippocampus.tar"
PACKED = "Task04_Hippocampus.tar"
FOLDERS = {"imagesTr": "images", "labelsTr": "labels"}  # of the archive, and what its files are here
DIGESTS = {
    "numbers": "6da29c0c959792abd92998ababa7a93a2bbc0372eb58b8dc3c7910c24d847067",
    "shapes": "7af9f4460e86a3cdea5975f82c3768f8dd824e7e47b2621d77aa6accf7e35840",
    "values": "7fcc6c93b8995bc87c853ec767852dc5aa8a2421faf984c3aa3f47dd7c4dc491",
    "labels": "a1447621774955c8abde6b953f595b137fbbdf8b09c429405a450848d5886418",
}
TRAIN_PATIENTS, VALIDATION_PATIENTS = 119, 17  # of the 170; 34 are for test
TRAIN_SIZE = 184  # volumes
# A volume's file, with its number. In the archive macOS has left a file "._<name>" beside each, which is none.
NUMBER = re.compile(r"hippocampus_(\d+)\.nii\.gz")
Files = dict[str, dict[str, bytes]]  # {"images" or "labels": {name: content}}


def load(name: SplitName) -> Split:
    """One split: volumes (right, front, up) float32 of any size and scale, whose axes run in these directions, and of
    each voxel its place in CLASSES, int32. All volumes of a patient are in one split, and one group of it."""
    arrays = everything()
    volumes, labels = (parted(arrays[kind], arrays["shapes"]) for kind in ("values", "labels"))
    rows = by_patient(arrays["numbers"])[name]
    inputs = Ragged([volumes[row].copy() for row in rows])  # a view would keep all volumes in memory
    targets = Ragged([labels[row].astype(np.int32) for row in rows])
    return Split(inputs, targets, groups=patients(arrays["numbers"])[rows])


def everything() -> Arrays:
    """What `decoded` gives, verified."""
    return fetch("hippocampus", [("DATA_DIR", from_data_dir), ("the challenge's archive", from_archive)], DIGESTS)


def patients(numbers: np.ndarray) -> np.ndarray:
    """Whose each volume is, (N,) integers, by the numbers (N,) in the files' names.

    The challenge names no patients. But the numbers 2k - 1 and 2k are of one, the hippocampi of both hemispheres: where
    the values of a volume are multiples of some number, this is the same for both of them, and never for 2k and 2k + 1.
    """
    return (numbers + 1) // 2


def by_patient(numbers: np.ndarray) -> dict[str, np.ndarray]:
    """The places of each split's volumes, by the numbers (N,) in their files' names."""
    whose = patients(numbers)
    order = np.random.default_rng(1).permutation(np.unique(whose))
    parts = np.split(order, [TRAIN_PATIENTS, TRAIN_PATIENTS + VALIDATION_PATIENTS])
    names = ("train", "validation", "test")
    return {name: np.flatnonzero(np.isin(whose, part)) for name, part in zip(names, parts, strict=True)}


def parted(flat: np.ndarray, shapes: np.ndarray) -> list[np.ndarray]:
    """The volumes of these shapes (N, 3) whose values follow each other in `flat`."""
    ends = np.cumsum(shapes.prod(axis=1))
    return [part.reshape(shape) for part, shape in zip(np.split(flat, ends[:-1]), shapes, strict=True)]


def from_data_dir() -> Arrays:
    """`images/*.nii.gz` and `labels/*.nii.gz`, or the challenge's archive, in `$DATA_DIR/hippocampus/`."""
    folder = data_dir("hippocampus")
    if (packed := folder / PACKED).exists():
        return read_archive(packed)
    with _reading(folder):
        return decoded({kind: _files(folder / kind) for kind in FOLDERS.values()})


def from_archive() -> Arrays:
    with downloaded(ARCHIVE) as path:
        return read_archive(path)


def read_archive(path: Path) -> Arrays:
    """A tar file with the folders imagesTr and labelsTr; the challenge's test volumes have no labels."""
    found: Files = {kind: {} for kind in FOLDERS.values()}
    with _reading(path), tarfile.open(path) as archive:
        for member in archive:
            place = Path(member.name)
            kind = FOLDERS.get(place.parent.name)
            if kind and NUMBER.fullmatch(place.name) and member.isfile():
                found[kind][place.name] = archive.extractfile(member).read()  # type: ignore[union-attr]
        return decoded(found)


def decoded(files: Files) -> Arrays:
    """The values and labels of all volumes in the order of their numbers, each in one flat array; their shapes and
    numbers.

    Raises:
        SourceError: There are none, a volume has no labels, or they do not fit.
    """
    images, labels = files["images"], files["labels"]
    if not images or images.keys() != labels.keys():
        raise SourceError(f"expected as many images as labels by the same names, received {len(images)}, {len(labels)}")
    volumes = {name: (voxels(images[name]), voxels(labels[name])) for name in sorted(images)}
    for name, (volume, label) in volumes.items():
        if volume.shape != label.shape or not np.isin(label, range(len(CLASSES))).all():
            raise SourceError(f"the labels of {name} do not fit")
    return {
        "numbers": np.array([int(NUMBER.fullmatch(name)[1]) for name in volumes], np.int32),  # type: ignore[index]
        "shapes": np.array([volume.shape for volume, _ in volumes.values()], np.int32),
        "values": np.concatenate([volume.ravel() for volume, _ in volumes.values()]),
        "labels": np.concatenate([label.ravel() for _, label in volumes.values()]).astype(np.uint8),
    }


def voxels(data: bytes) -> np.ndarray:
    """The content of a .nii.gz file as float32, its axes reversed and reordered so that they run to the right, to the
    front and up as closely as they can.

    Raises:
        SourceError: Its voxels are not of 1 mm, or it is no volume.
    """
    import nibabel

    image = nibabel.as_closest_canonical(nibabel.Nifti1Image.from_bytes(gzip.decompress(data)))
    spacing = tuple(round(float(side), 4) for side in image.header.get_zooms())
    if spacing != SPACING:
        raise SourceError(f"expected voxels of 1 mm, received {spacing}")
    return np.ascontiguousarray(image.get_fdata(dtype=np.float32))


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.nii.gz") if NUMBER.fullmatch(path.name)}


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Whatever a damaged archive or volume raises becomes one kind of error."""
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError

    try:
        yield
    except (*UNREADABLE, tarfile.TarError, ImageFileError, HeaderDataError) as error:
        raise SourceError(f"cannot read {path}: {one_line(error) or type(error).__name__}") from error
