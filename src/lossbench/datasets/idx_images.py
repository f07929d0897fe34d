"""MNIST (LeCun et al., 1998) and Fashion-MNIST (Xiao et al., 2017): 28x28 grey images, closed sets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from lossbench.datasets.collection import Collection
from lossbench.datasets.download import Remote
from lossbench.datasets.files import Facts, fetch_file, file_key
from lossbench.datasets.known import KnownSet, Part, plan_of
from lossbench.datasets.prepared import Plan, prepared
from lossbench.readers.idx import read_idx

# Raise it whenever the same files would give other pixels, labels or names.
FORMAT = 1

_FILES = {
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}


class IdxImages(KnownSet):
    """Four idx files, .gz or unpacked: images and labels of train and test; the set's own test is kept."""

    classes: ClassVar[tuple[str, ...]]  # in the order of their labels

    def content(self) -> dict[str, Any]:
        names = [name for pair in _FILES.values() for name in pair]
        keys = [file_key(self._place(name), self.facts.remotes[name]) for name in names]
        return {"format": FORMAT, "files": keys}

    def collect(self) -> Collection:
        return prepared(self.name, self.key(), self.plan).collection()

    def places(self) -> list[Path | None]:
        return [self._place(name) for name in self.facts.remotes]

    def _place(self, name: str) -> Path | None:
        """Where a file lies; None where it is still to be downloaded."""
        if self.path is not None and Path(self.path).expanduser().is_file():
            raise ValueError(f"dataset.path={self.path}: is a file; name the folder with the four files")
        return self.find(name, name.removesuffix(".gz"))

    def plan(self) -> Plan:
        parts = []
        for role, (images_name, labels_name) in _FILES.items():
            images, labels = self._read(images_name), self._read(labels_name)
            if images.ndim != 3 or labels.ndim != 1:
                raise ValueError(
                    f"{self.name}: {images_name} has shape {images.shape}, {labels_name} {labels.shape}: "
                    "expected (n, h, w) and (n,)"
                )
            parts.append(Part(role, role, images[..., None], labels))
        return plan_of(parts, self.classes)

    def _read(self, name: str) -> np.ndarray:
        return read_idx(self._place(name) or fetch_file(self.facts, name))


def _remotes(folder: str, *files: tuple[int, str, tuple[str, ...]]) -> dict[str, Remote]:
    """The four files of ``_FILES`` in ``folder``: size, sha256, and sums of the same packed otherwise."""
    names = [name for pair in _FILES.values() for name in pair]
    return {name: Remote(folder + name, *file) for name, file in zip(names, files, strict=True)}


@dataclass(frozen=True, kw_only=True)
class Mnist(IdxImages):
    """70,000 handwritten digits, 60,000 of them to train on; white on black."""

    facts = Facts(
        name="mnist",
        common_names=True,
        licence="none stated",
        homepage="http://yann.lecun.com/exdb/mnist/",
        citation="LeCun, Bottou, Bengio, Haffner, Gradient-Based Learning Applied to Document Recognition, "
        "Proceedings of the IEEE 86, 1998",
        remotes=_remotes(
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
            (9912422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609", ()),
            (28881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c", ()),
            (1648877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6", ()),
            (4542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6", ()),
        ),
    )
    classes = tuple("0123456789")


@dataclass(frozen=True, kw_only=True)
class FashionMnist(IdxImages):
    """70,000 photographs of clothes, 60,000 of them to train on; 10 classes, white on black."""

    # Debian's package dataset-fashion-mnist holds the same files without names and times in their headers.
    facts = Facts(
        name="fashion_mnist",
        common_names=True,
        licence="MIT",
        homepage="https://github.com/zalandoresearch/fashion-mnist",
        citation="Xiao, Rasul, Vollgraf, Fashion-MNIST, arXiv:1708.07747, 2017",
        system="/usr/share/datasets/fashion-mnist",
        remotes=_remotes(
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
            (
                26421880,
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
                ("b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7",),
            ),
            (
                29515,
                "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
                ("0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056",),
            ),
            (
                4422102,
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
                ("cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa",),
            ),
            (
                5148,
                "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
                ("8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05",),
            ),
        ),
    )
    classes = (
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    )
