"""Named splits and their facts. Numpy only: finding out what a set is must not cost an import of torch."""

from lossbench.datasets.cache import load
from lossbench.datasets.dataset import Dataset, Source, Split
from lossbench.datasets.digits import Digits
from lossbench.datasets.glyphs import Glyphs
from lossbench.datasets.toys import Blobs, Modes, Rings, Xor

__all__ = ["Blobs", "Dataset", "Digits", "Glyphs", "Modes", "Rings", "Source", "Split", "Xor", "load"]
