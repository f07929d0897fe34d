"""Chinese, Japanese and Korean characters of the fonts on this machine: an open set with many distractors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lossbench.datasets.cache import Arrays
from lossbench.datasets.cjk_fonts import cjk_faces, is_cjk
from lossbench.datasets.dataset import Dataset
from lossbench.datasets.division import divided
from lossbench.datasets.drawing import SIDE, draw_characters
from lossbench.datasets.fonts import Face, renderer_version
from lossbench.datasets.glyphs import Glyphs
from lossbench.datasets.options import digest_of, generated_fingerprint
from lossbench.datasets.prepared import Block, Plan, prepared

# Raise it whenever the same fonts and options would give other pixels, splits or names.
GENERATOR = 1

EM, BASELINE = 24, 25  # pixels and row: characters fill a square of the em, three or four pixels remain
_BLOCK = 4096


@dataclass(frozen=True, kw_only=True)
class CJKGlyphs(Glyphs):
    """Characters as identities, one 32x32 grey image per font, divided as Glyphs are.

    fonts: a folder; None: those the system has.

    Raises:
        ValueError: if an option is out of range; on use, if there are no such fonts or too few identities.
    """

    fonts: str | None
    name: str = "glyphs_cjk"

    def fingerprint(self) -> str:
        return generated_fingerprint(self, GENERATOR, {**self._options(), "fonts": self._fonts()})

    def load(self) -> Dataset:
        """Draw, or open what an earlier run drew.

        Raises:
            ValueError: if there are no fonts, or fewer identities than asked for.
        """
        fonts = self._fonts()
        key = digest_of(
            revision=GENERATOR, fonts=fonts, min_styles=self.min_styles, matplotlib=renderer_version()
        )
        collection = prepared("glyphs_cjk", key, self._plan).collection()
        codepoints = np.array([int(name.split()[0][2:], 16) for name in collection.names])
        drawn = {
            "codepoint": codepoints[collection.labels],
            "font": collection.origin.astype(np.int64),
            "font_name": np.array(fonts),
        }
        return divided(collection, self.name, self._roles(drawn), open_set=True)

    def _roles(self, drawn: Arrays) -> np.ndarray:
        """(n,) role of each drawing."""
        identities = self._assign(np.unique(drawn["codepoint"]).tolist())
        role = self._held_out(drawn, identities["train"]).astype("<U11")
        for name in ("val_open", "test_open", "distractors"):
            role[np.isin(drawn["codepoint"], identities[name])] = name
        return role

    def _fonts(self) -> list[str]:
        return [face.name for face in self._faces()]

    def _faces(self) -> list[Face]:
        return cjk_faces(Path(self.fonts).expanduser() if self.fonts else None)

    def _plan(self) -> Plan:
        drawn = draw_characters(
            self._faces(), wanted=is_cjk, em=EM, baseline=BASELINE, min_styles=self.min_styles
        )
        images = drawn["images"][..., None]
        if not len(images):
            raise ValueError(
                f"min_styles={self.min_styles}: no character has so many different drawings in the "
                f"{len(drawn['font_name'])} fonts found; lower it or install more"
            )
        codepoints, labels = np.unique(drawn["codepoint"], return_inverse=True)
        names = [f"U+{codepoint:04X} {chr(codepoint)}" for codepoint in codepoints]
        # of all fonts, in the order of their names, the one that drew it
        columns = {"labels": labels, "origin": np.char.zfill(drawn["font"].astype(np.str_), 4)}
        return Plan((len(images), SIDE, SIDE, 1), columns, names, _blocks(images))


def _blocks(images: np.ndarray) -> Iterator[Block]:
    for start in range(0, len(images), _BLOCK):
        block = images[start : start + _BLOCK]
        yield range(start, start + len(block)), list(block)
