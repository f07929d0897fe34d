"""Omniglot (Lake et al., Science 2015): 1,623 characters of 50 alphabets, each drawn by 20 people."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from lossbench.datasets.collection import Collection
from lossbench.datasets.decoding import Decoded, Encoded, Pixels, chunks, decode_chunk
from lossbench.datasets.download import Remote
from lossbench.datasets.files import Facts, fetch_file, file_key
from lossbench.datasets.known import KnownSet
from lossbench.datasets.prepared import Plan, prepared
from lossbench.readers.archives import list_files, read_files
from lossbench.validate import check_range

# Raise it whenever the same files and options would give other pixels, labels or names.
FORMAT = 1

_SIDE = 105  # pixels of an original
_TURNS = ("", " turned 90", " turned 180", " turned 270")  # degrees, against the clock
_TOGETHER = "omniglot_png.tar.gz"  # both halves in one file
_HALVES = ("images_background", "images_evaluation")
_GITHUB = "https://raw.githubusercontent.com/brendenlake/omniglot/master/python/"


class _Drawing(NamedTuple):
    half: str
    alphabet: str
    character: str
    png: str
    place: Path
    file: str  # in ``place``


@dataclass(frozen=True, kw_only=True)
class Omniglot(KnownSet):
    """Characters as identities, an open set: the evaluation alphabets are test_open, ``val_alphabets`` of
    the 30 background alphabets val_open, the others train.

    rotations: the training characters turned by 90, 180 and 270 degrees are identities of their own, too.
    side: pixels; each is the mean ink of its part of the original, white on black.

    Raises:
        ValueError: if an option is out of range.
    """

    val_alphabets: int
    rotations: bool
    side: int

    facts = Facts(
        name="omniglot",
        licence="MIT",
        homepage="https://github.com/brendenlake/omniglot",
        citation="Lake, Salakhutdinov, Tenenbaum, Human-level concept learning through probabilistic program "
        "induction, Science 350, 2015",
        remotes={
            "images_background.zip": Remote(
                url=f"{_GITHUB}images_background.zip",
                size=9464212,
                sha256="ad41ab679c8b5d90b271ef46be6987cc81211774a695c29dcc5367b2b26ee640",
            ),
            "images_evaluation.zip": Remote(
                url=f"{_GITHUB}images_evaluation.zip",
                size=6462886,
                sha256="1f61a8f3366785b057fc117d9228e78a16e3d976c8953b2a10fcc74cf0609cee",
            ),
        },
    )

    def __post_init__(self) -> None:
        check_range("val_alphabets", self.val_alphabets, low=0, high=29, integer=True)
        check_range("side", self.side, low=8, high=_SIDE, integer=True)
        if not isinstance(self.rotations, bool):
            raise ValueError(f"rotations={self.rotations}: must be true or false")

    def content(self) -> dict[str, Any]:
        keys = [file_key(self._place(half), self.facts.remotes[f"{half}.zip"]) for half in _HALVES]
        options = {"val_alphabets": self.val_alphabets, "rotations": self.rotations, "side": self.side}
        return {"format": FORMAT, "files": keys, **options}

    def collect(self) -> Collection:
        return prepared(self.name, self.key(), self.plan).collection()

    def places(self) -> list[Path | None]:
        return list(dict.fromkeys(self._place(half) for half in _HALVES))

    def _place(self, half: str) -> Path | None:
        return self.find(_TOGETHER, f"{half}.zip", half)

    def plan(self) -> Plan:
        places = [self._place(half) or fetch_file(self.facts, f"{half}.zip") for half in _HALVES]
        drawings = sorted(drawing for place in dict.fromkeys(places) for drawing in _drawings(place))
        if {drawing.half for drawing in drawings} != set(_HALVES):
            raise ValueError(f"{places[0]}: expected drawings in {' and in '.join(_HALVES)}")
        identities: list[str] = []
        origin, given, rows = [], [], []
        for drawing, role in zip(drawings, self._roles(drawings), strict=True):
            first = len(identities)
            for turn in _TURNS if self.rotations and role == "train" else _TURNS[:1]:
                identities.append(f"{drawing.alphabet}/{drawing.character}{turn}")
                origin.append(f"{drawing.half}/{drawing.alphabet}/{drawing.character}/{drawing.png}{turn}")
                given.append(role)
            rows.append(range(first, len(identities)))
        names, labels = np.unique(identities, return_inverse=True)
        columns = {"labels": labels.astype(np.int64), "origin": np.array(origin), "given": np.array(given)}

        def broken(row: int, reason: str) -> None:
            drawing = next(drawing for drawing, own in zip(drawings, rows, strict=True) if row in own)
            raise ValueError(f"{drawing.place}: {drawing.file} {reason}")

        shape, decode = (len(labels), self.side, self.side, 1), partial(_turned, self.side, rows)
        blocks = chunks(_encoded(drawings), least=_SIDE**2)
        return Plan(shape, columns, names.tolist(), blocks, decode=decode, broken=broken)

    def _roles(self, drawings: list[_Drawing]) -> list[str]:
        """'train', 'val' or 'test' of each drawing."""
        background, evaluation = _HALVES
        alphabets = sorted({drawing.alphabet for drawing in drawings if drawing.half == background})
        if self.val_alphabets >= len(alphabets):
            raise ValueError(
                f"val_alphabets={self.val_alphabets}: of {len(alphabets)} none is left to train on"
            )
        drawn = sorted(alphabets, key=lambda name: hashlib.sha256(name.encode()).digest())
        role = dict.fromkeys(alphabets, "train") | dict.fromkeys(drawn[: self.val_alphabets], "val")
        return ["test" if drawing.half == evaluation else role[drawing.alphabet] for drawing in drawings]


def _encoded(drawings: list[_Drawing]) -> Iterator[Encoded]:
    places = {(drawing.place, drawing.file): i for i, drawing in enumerate(drawings)}
    for place in dict.fromkeys(drawing.place for drawing in drawings):
        for file, data in read_files(place, [name for of, name in places if of == place]):
            yield places[place, file], data


def _turned(side: int, rows: list[range], chunk: list[Encoded]) -> Decoded:
    """Drawings, each with its turns if it has ``rows`` for them."""
    found, turned = decode_chunk(Pixels(height=_SIDE, width=_SIDE, channels=1), chunk), Decoded([], [], {})
    for i, image in zip(found.rows, found.images, strict=True):
        ink = _ink(side, image)
        turned.rows.extend(rows[i])
        turned.images.extend(np.rot90(ink, turns) for turns in range(len(rows[i])))
    turned.broken.update((rows[i][0], reason) for i, reason in found.broken.items())
    return turned


def _ink(side: int, image: np.ndarray) -> np.ndarray:
    """(side, side, 1) uint8, white on black, of a drawing (105, 105, 1), black on white."""
    whole = Image.fromarray(255 - image[..., 0])
    return np.asarray(whole.resize((side, side), Image.Resampling.BOX))[..., None]


def _drawings(place: Path) -> Iterator[_Drawing]:
    """Drawings in <half>/<alphabet>/<character>/<png>; the place itself may have the name of the half."""
    for file in list_files(place).names:
        parts = [place.name.removesuffix(".zip"), *file.split("/")][-4:]
        if len(parts) == 4 and parts[0] in _HALVES and file.endswith(".png"):
            half, alphabet, character, png = parts
            yield _Drawing(half, alphabet, character, png, place, file)
