"""CIFAR-10 and CIFAR-100 (Krizhevsky, 2009): 32x32 photographs of ten or a hundred classes, closed sets."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from lossbench.datasets.collection import Collection
from lossbench.datasets.download import Remote
from lossbench.datasets.files import Facts, fetch_file, file_key
from lossbench.datasets.folder import Folder
from lossbench.datasets.known import KnownSet, Part, plan_of
from lossbench.datasets.prepared import Plan, prepared
from lossbench.readers.archives import list_files, read_files
from lossbench.readers.cifar import read_cifar_batch, read_cifar_names

logger = logging.getLogger(__name__)

# Raise it whenever the same file would give other pixels, labels or names.
FORMAT = 1

_LARGEST = 1 << 28  # bytes of a batch; CIFAR-100 has all of its training images in one of 155 MB
_CITATION = "Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009"
_HOMEPAGE = "https://www.cs.toronto.edu/~kriz/cifar.html"
_LICENCE = "none stated; research use, to be cited"


class Cifar(KnownSet):
    """Batches for Python, in the official archive or unpacked from it; the set's own test split is kept."""

    archive: ClassVar[str]
    folder: ClassVar[str]  # in the archive
    batches: ClassVar[dict[str, str]]  # role of each file of images
    meta: ClassVar[str]  # file of the names
    others: ClassVar[tuple[str, ...]] = ()  # what is looked for in the place of the archive

    @property
    def keys(self) -> tuple[str, str]:
        """Entries of the labels in a batch and of the names in the meta file."""
        return "labels", "label_names"

    def content(self) -> dict[str, Any]:
        remote = self.facts.remotes[self.archive]
        return {"format": FORMAT, "labels": self.keys[0], "file": file_key(self.place(), remote)}

    def collect(self) -> Collection:
        return prepared(self.name, self.key(), self.plan).collection()

    def places(self) -> list[Path | None]:
        return [self.place()]

    def place(self) -> Path | None:
        """Where the set lies; None where it is still to be downloaded."""
        return self.find(self.archive, self.folder, *self.others)

    def plan(self) -> Plan:
        path = self.place() or fetch_file(self.facts, self.archive)
        files = self._files(path)
        of_labels, of_names = self.keys
        names = read_cifar_names(files[self.meta], f"{path}: {self.meta}", names=of_names)
        order = sorted(range(len(names)), key=lambda label: names[label])
        sorted_labels = np.argsort(order)
        parts = []
        for name, role in self.batches.items():
            images, labels = read_cifar_batch(files[name], f"{path}: {name}", labels=of_labels)
            if labels.max(initial=0) >= len(names):
                raise ValueError(f"{path}: {name}: label {labels.max()}, but {len(names)} names")
            parts.append(Part(role, name, images, sorted_labels[labels]))
        return plan_of(parts, [names[label] for label in order])

    def _files(self, path: Path) -> dict[str, bytes]:
        """Contents of the batches and the meta file, by their names without folders."""
        short = {name: name.rpartition("/")[2] for name in list_files(path).names}
        wanted = {name: last for name, last in short.items() if last in (*self.batches, self.meta)}
        if absent := {*self.batches, self.meta} - set(wanted.values()):
            raise ValueError(f"{path}: holds no {min(absent)}: is it {self.archive}?")
        return {wanted[name]: data for name, data in read_files(path, wanted, largest=_LARGEST)}


@dataclass(frozen=True, kw_only=True)
class Cifar10(Cifar):
    """60,000 photographs, 10 classes, 50,000 of them to train on.

    Also read: a folder or an archive of JPEGs, ``<train|test>/<class>/...``. Their pixels differ from the
    official ones, so they are another data set, cifar10-jpeg.
    """

    facts = Facts(
        name="cifar10",
        licence=_LICENCE,
        homepage=_HOMEPAGE,
        citation=_CITATION,
        remotes={
            "cifar-10-python.tar.gz": Remote(
                url="https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
                size=170498071,
                sha256="6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
            )
        },
    )
    archive = "cifar-10-python.tar.gz"
    folder = "cifar-10-batches-py"
    batches: ClassVar = {**{f"data_batch_{i}": "train" for i in range(1, 6)}, "test_batch": "test"}
    meta = "batches.meta"
    others = ("cifar10_jpg.tar.gz", "CIFAR-10-images-master.zip", "CIFAR-10-images")

    def place(self) -> Path | None:
        given = None if self.path is None else Path(self.path).expanduser()
        return given if given is not None and (given / "train").is_dir() else super().place()

    @property
    def name(self) -> str:
        return "cifar10" if self._jpegs() is None else "cifar10-jpeg"

    def content(self) -> dict[str, Any]:
        jpegs = self._jpegs()
        return super().content() if jpegs is None else {"format": FORMAT, "jpegs": jpegs.fingerprint()}

    def collect(self) -> Collection:
        jpegs = self._jpegs()
        if jpegs is None:
            return super().collect()
        collection = jpegs.collect()
        if collection.given is None or set(collection.given) != {"train", "test"}:
            raise ValueError(f"{jpegs.path}: expected folders train and test with one folder a class in each")
        logger.warning("%s: JPEGs, so recorded as cifar10-jpeg: not the official pixels", jpegs.path)
        return collection

    def _jpegs(self) -> Folder | None:
        found = self.place()
        if found is None or found.name in (self.archive, self.folder):
            return None
        if found.is_file() and file_key(found) == self.facts.remotes[self.archive].sha256:
            return None
        return Folder(
            path=str(found),
            height=32,
            width=32,
            channels=3,
            box=None,
            fit="stretch",
            skip_broken=False,
            division=self.division,
        )


@dataclass(frozen=True, kw_only=True)
class Cifar100(Cifar):
    """60,000 photographs, 50,000 of them to train on. labels: 'fine', 100 classes, or 'coarse', 20.

    Raises:
        ValueError: if labels are neither.
    """

    labels: str

    facts = Facts(
        name="cifar100",
        licence=_LICENCE,
        homepage=_HOMEPAGE,
        citation=_CITATION,
        remotes={
            "cifar-100-python.tar.gz": Remote(
                url="https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
                size=169001437,
                sha256="85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
            )
        },
    )
    archive = "cifar-100-python.tar.gz"
    folder = "cifar-100-python"
    batches: ClassVar = {"train": "train", "test": "test"}
    meta = "meta"

    def __post_init__(self) -> None:
        if self.labels not in ("fine", "coarse"):
            raise ValueError(f"labels={self.labels}: must be fine or coarse")

    @property
    def name(self) -> str:
        return "cifar100" if self.labels == "fine" else "cifar100-coarse"

    @property
    def keys(self) -> tuple[str, str]:
        return f"{self.labels}_labels", f"{self.labels}_label_names"
