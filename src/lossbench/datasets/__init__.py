"""Named splits and their facts. Numpy only: finding out what a set is must not cost an import of torch."""

from lossbench.datasets.cache import load
from lossbench.datasets.cifar import Cifar10, Cifar100
from lossbench.datasets.cjk import CJKGlyphs
from lossbench.datasets.csv_list import CsvList
from lossbench.datasets.dataset import Dataset, Source, Split
from lossbench.datasets.digits import Digits
from lossbench.datasets.division import ByIdentity, ByImage
from lossbench.datasets.folder import Folder
from lossbench.datasets.frozen import Embeddings
from lossbench.datasets.glyphs import Glyphs
from lossbench.datasets.idx_images import FashionMnist, Mnist
from lossbench.datasets.insightface import InsightFace
from lossbench.datasets.lfw import Lfw
from lossbench.datasets.omniglot import Omniglot
from lossbench.datasets.torch_dataset import TorchDataset
from lossbench.datasets.toys import Blobs, Modes, Rings, Xor

__all__ = [
    "Blobs",
    "ByIdentity",
    "ByImage",
    "CJKGlyphs",
    "Cifar10",
    "Cifar100",
    "CsvList",
    "Dataset",
    "Digits",
    "Embeddings",
    "FashionMnist",
    "Folder",
    "Glyphs",
    "InsightFace",
    "Lfw",
    "Mnist",
    "Modes",
    "Omniglot",
    "Rings",
    "Source",
    "Split",
    "TorchDataset",
    "Xor",
    "load",
]
