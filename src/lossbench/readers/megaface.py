"""MegaFace challenge 1 as its devkit has it: feature files, lists of probes and distractors, lists of noise.

A feature file is four int32 (length, 1, 4 bytes a value, 5 for float32: the head of an OpenCV matrix), then
the float32 values, little endian. MegaFace is no longer given out: all files are the user's own.
"""

from __future__ import annotations

import json
import struct
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lossbench.readers.list_files import Location, text_lines

_HEAD = struct.Struct("<4i")
# Sizes no honest file has, so that a wrong one is refused before it fills the memory.
_LONGEST_FEATURE = 1 << 22  # bytes
_LONGEST_LIST = 1 << 27  # bytes; the list of a million distractors has about 40 million


@dataclass(frozen=True)
class FeatureList:
    """paths: (n) of images, relative, "/" between folders. ids: (n) names of people, none for distractors."""

    paths: tuple[str, ...]
    ids: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.paths)


def read_feature(path: Location) -> np.ndarray:
    """Return the feature (d,) float32 of one file.

    Raises ValueError naming the file and its bytes for another size or head, and for NaN or infinity.
    """
    with Path(path).open("rb") as file:
        data = file.read(_LONGEST_FEATURE + 1)
    if len(data) > _LONGEST_FEATURE:
        raise ValueError(f"{path}: more than {_LONGEST_FEATURE} bytes: no feature")
    if len(data) < _HEAD.size:
        raise ValueError(f"{path}: {len(data)} bytes, the head of a feature alone takes {_HEAD.size}")
    rows, columns, bytes_each, kind = _HEAD.unpack_from(data)
    if min(rows, columns) != 1 or (bytes_each, kind) != (4, 5):
        head = f"({rows}, {columns}, {bytes_each}, {kind})"
        raise ValueError(f"{path}: bytes 0-15 read {head}, expected (length, 1, 4, 5): float32 values")
    expected = _HEAD.size + 4 * rows * columns
    if len(data) != expected:
        raise ValueError(f"{path}: {len(data)} bytes, a feature of length {rows * columns} has {expected}")
    feature = np.frombuffer(data, "<f4", offset=_HEAD.size).astype(np.float32)
    if not np.isfinite(feature).all():
        byte = _HEAD.size + 4 * int(np.isfinite(feature).argmin())
        raise ValueError(f"{path}: byte {byte}: the feature holds NaN or infinity")
    return feature


def write_feature(path: Location, feature: np.ndarray) -> None:
    """Write a feature (d,), rounded to float32, as the devkit reads it."""
    if feature.ndim != 1 or not len(feature):
        raise ValueError(f"feature has shape {feature.shape}: expected (d,)")
    Path(path).write_bytes(_HEAD.pack(len(feature), 1, 4, 5) + feature.astype("<f4").tobytes())


def read_features(folder: Location, paths: Sequence[str], suffix: str, out: Location) -> np.ndarray:
    """Gather ``folder/path + suffix`` of all paths into the file ``out`` (.npy), and return it, mapped.

    paths: (n) as in a list. suffix: what the features' names add to the images', such as "_model.bin".
    Returns (n, d) float32, read-only. ``out`` appears when it is complete.
    Raises ValueError as ``read_feature`` does, for lengths that differ, and naming the first missing file.
    """
    folder, out = Path(folder), Path(out)
    if not paths:
        raise ValueError("paths is empty: there is no feature to read")
    length = len(_feature(folder / (paths[0] + suffix)))
    head = {"descr": "<f4", "fortran_order": False, "shape": (len(paths), length)}
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as beside:
        whole = Path(beside, "features.npy")
        # Written, not mapped: a full disk is then an error and not a signal.
        with whole.open("wb") as array:
            np.lib.format.write_array_header_1_0(array, head)
            for path in paths:
                file = folder / (path + suffix)
                feature = _feature(file)
                if len(feature) != length:
                    raise ValueError(f"{file}: length {len(feature)}, the feature of {paths[0]} has {length}")
                array.write(feature.astype("<f4").tobytes())
        whole.replace(out)
    return np.load(out, mmap_mode="r", allow_pickle=False)


def _feature(file: Path) -> np.ndarray:
    try:
        return read_feature(file)
    except FileNotFoundError:
        raise ValueError(f"{file}: no such feature; do folder and suffix fit?") from None


def read_feature_list(path: Location) -> FeatureList:
    """Read a list of the devkit, such as facescrub_features_list.json or megaface_features_list.json_1000_1.

    It is an object with "path", a list of images, and for probes "id", a list of as many names or numbers.
    Raises ValueError for anything else, and for paths that leave the folder they are relative to.
    """
    path = Path(path)
    if path.stat().st_size > _LONGEST_LIST:
        raise ValueError(f"{path}: {path.stat().st_size} bytes: more than {_LONGEST_LIST} is no list")
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: no JSON: {' '.join(str(error).split())[:200]}") from None
    paths = _texts(path, value, "path", (str,))
    ids = _texts(path, value, "id", (str, int)) if "id" in value else ()
    if ids and len(ids) != len(paths):
        raise ValueError(f"{path}: {len(ids)} ids for {len(paths)} paths")
    for i, image in enumerate(paths):
        if not image or image.startswith("/") or "\\" in image or "\0" in image or ".." in image.split("/"):
            raise ValueError(f"{path}: path {i}, {image[:80]!r}, is not below the folder of images")
    return FeatureList(paths, ids)


def _texts(path: Path, value: Any, name: str, types: tuple[type, ...]) -> tuple[str, ...]:
    items = value.get(name) if isinstance(value, dict) else None
    if not isinstance(items, list) or not items:
        raise ValueError(f'{path}: expected an object with a list "{name}"')
    wrong = next((i for i, item in enumerate(items) if type(item) not in types), None)
    if wrong is not None:
        raise ValueError(f'{path}: "{name}" {wrong} is {type(items[wrong]).__name__}, expected text')
    return tuple(map(str, items))


def write_feature_list(path: Location, images: FeatureList) -> None:
    """Write a list as the devkit has it."""
    fields = {"path": list(images.paths)} | ({"id": list(images.ids)} if images.ids else {})
    Path(path).write_text(json.dumps(fields))


def read_noise(path: Location) -> frozenset[str]:
    """Read the images that a cleaned variant leaves out: facescrub_noises.txt, megaface_noises.txt.

    One image per line, "name.png" (FaceScrub) or "375/37531198@N00/4174611825_0.jpg" (MegaFace), perhaps
    after a number and a tab; lines with "#" in front say something else. Repetitions count once.
    """
    lines = (line.split("\t")[-1].strip() for _, line in text_lines(path) if not line.startswith("#"))
    return frozenset(line for line in lines if line)


def is_noise(paths: Iterable[str], noise: frozenset[str]) -> np.ndarray:
    """Return (n,) bool: does the path, or the end of it after some "/", stand in ``noise``?

    >>> is_noise(["Al_Pacino/Al_Pacino_7.png", "a/b/c_0.jpg"], frozenset({"Al_Pacino_7.png", "b/c_0.jpg"}))
    array([ True,  True])
    """
    ends = {entry.count("/") + 1 for entry in noise}
    return np.array(
        [any("/".join(path.split("/")[-end:]) in noise for end in ends) for path in paths], dtype=bool
    )
