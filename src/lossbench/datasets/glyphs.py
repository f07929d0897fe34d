"""Glyphs: characters of the fonts inside matplotlib, an open set that needs no download."""

from __future__ import annotations

import hashlib
import unicodedata
import warnings
from collections.abc import Iterable
from dataclasses import asdict, dataclass

import numpy as np

from lossbench.datasets.cache import Arrays, cached_arrays, digest
from lossbench.datasets.dataset import Dataset, Split
from lossbench.datasets.drawing import MIN_STYLES, draw_characters
from lossbench.datasets.fonts import font_faces, font_hashes, renderer_version
from lossbench.datasets.options import digest_of, generated_fingerprint
from lossbench.validate import check_range

# Raise it whenever the same fonts and options would give other pixels, splits or names.
GENERATOR = 1

# Of all drawings, whatever the options; made with matplotlib 3.11.2, FreeType 2.14.3.
REFERENCE_SHA256 = "b9fa3fb5306bd2b991097ffa0d525692bb2636c470ad6c2a993b01487fc9c16a"


@dataclass(frozen=True, kw_only=True)
class Glyphs:
    """Characters as identities, one 32x32 grey image per font style.

    Identities go to train, val_open, test_open and, all that are left, distractors. ``val`` and ``test``
    hold the styles of each training identity that ``train`` does not. An identity has at least
    ``min_styles`` different drawings; ``name`` is what tables call the set.

    Raises:
        ValueError: if an option is out of range.
    """

    train_identities: int
    val_identities: int
    test_identities: int
    val_styles: int
    test_styles: int
    split_seed: int
    min_styles: int = MIN_STYLES
    name: str = "glyphs"

    def __post_init__(self) -> None:
        check_range("train_identities", self.train_identities, low=1, integer=True)
        check_range("val_identities", self.val_identities, low=0, integer=True)
        check_range("test_identities", self.test_identities, low=0, integer=True)
        check_range("min_styles", self.min_styles, low=1, integer=True)
        cure = f"an identity may have no more than {self.min_styles} styles and one must be left for train"
        most = self.min_styles - 1
        check_range("val_styles", self.val_styles, low=0, high=most, integer=True, cure=cure)
        most -= self.val_styles
        check_range("test_styles", self.test_styles, low=0, high=most, integer=True, cure=cure)
        check_range("split_seed", self.split_seed, low=0, integer=True)

    def fingerprint(self) -> str:
        return generated_fingerprint(self, GENERATOR, {**self._options(), "fonts": font_hashes()})

    def load(self) -> Dataset:
        """Draw, or read what an earlier run drew.

        Raises:
            ValueError: if there are fewer identities than asked for.

        Warns:
            UserWarning: if the pixels are not those of the published results.
        """
        drawn = _drawn(self.min_styles)
        sha256 = digest(drawn)
        if self.min_styles == MIN_STYLES and sha256 != REFERENCE_SHA256:
            warnings.warn(_other_pixels(), stacklevel=2)
        return Dataset(name=self.name, splits=self._split(drawn), open_set=True, sha256=sha256)

    def _options(self) -> dict[str, object]:
        """What decides the rows; a default that came later is left out, so that older sets stay the same."""
        options = asdict(self)
        del options["name"]
        if self.min_styles == MIN_STYLES:
            del options["min_styles"]
        return options

    def _split(self, drawn: Arrays) -> dict[str, Split]:
        roles = self._assign(np.unique(drawn["codepoint"]).tolist())
        splits = {
            name: _rows(drawn, np.isin(drawn["codepoint"], own), own) for name, own in roles.items() if own
        }
        styles = self._held_out(drawn, roles["train"])
        for name in ("train", "val", "test"):
            if (styles == name).any():
                splits[name] = _rows(drawn, styles == name, roles["train"])
        return splits

    def _assign(self, identities: list[int]) -> dict[str, list[int]]:
        """Code points of each role, ascending."""
        sizes = (self.train_identities, self.val_identities, self.test_identities)
        if sum(sizes) > len(identities):
            raise ValueError(
                f"train_identities={sizes[0]}, val_identities={sizes[1]}, test_identities={sizes[2]}: "
                f"{sum(sizes)} asked for, {len(identities)} exist; lower one of them"
            )
        order = self._shuffled(identities)
        parts = np.split(np.array(order, dtype=np.int64), np.cumsum(sizes))
        names = ("train", "val_open", "test_open", "distractors")
        return {name: sorted(part.tolist()) for name, part in zip(names, parts, strict=True)}

    def _held_out(self, drawn: Arrays, train: list[int]) -> np.ndarray:
        """'train', 'val', 'test' or '' (no training identity) for each drawing."""
        styles = np.full(len(drawn["codepoint"]), "", dtype="<U5")
        for identity in train:
            rows = np.arange(*np.searchsorted(drawn["codepoint"], [identity, identity + 1]))
            names = {str(drawn["font_name"][drawn["font"][row]]): row for row in rows}
            order = [names[name] for name in self._shuffled(names, identity)]
            styles[order] = "train"
            styles[order[: self.val_styles]] = "val"
            styles[order[self.val_styles : self.val_styles + self.test_styles]] = "test"
        return styles

    def _shuffled(self, things: Iterable, *salt: object) -> list:
        """In the order of their hashes: the same under every version of numpy, whatever else there is."""
        prefix = f"{self.split_seed} {salt} "
        return sorted(things, key=lambda thing: hashlib.sha256(f"{prefix}{thing}".encode()).digest())


def _drawn(min_styles: int = MIN_STYLES) -> Arrays:
    """All drawings, from the disk cache if it has those of these fonts and this matplotlib."""
    later = {} if min_styles == MIN_STYLES else {"min_styles": min_styles}
    key = digest_of(revision=GENERATOR, fonts=font_hashes(), matplotlib=renderer_version(), **later)
    return cached_arrays(f"glyphs-{key[:16]}", lambda: draw_characters(font_faces(), min_styles=min_styles))


def _rows(drawn: Arrays, chosen: np.ndarray, identities: list[int]) -> Split:
    labels = np.searchsorted(identities, drawn["codepoint"][chosen]).astype(np.int64)
    return Split(drawn["images"][chosen][..., None], labels, tuple(map(_name, identities)))


def _name(codepoint: int) -> str:
    return f"U+{codepoint:04X} {unicodedata.name(chr(codepoint), '')}".rstrip()


def _other_pixels() -> str:
    from matplotlib.ft2font import __freetype_version__

    return (
        f"glyphs drawn by matplotlib {renderer_version()} with FreeType {__freetype_version__} differ from "
        "those behind the published results: numbers are not comparable with those in results/"
    )
