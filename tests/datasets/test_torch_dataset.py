"""Datasets that others wrote, and what is refused of them."""

from __future__ import annotations

import enum
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from PIL import Image

import lossbench
from lossbench.datasets import TorchDataset, torch_dataset
from lossbench.datasets.division import ByIdentity, ByImage
from lossbench.datasets.items import Items
from tests.readers.samples import encoded, pixels, refused

DIVISION = ByImage(val_fraction=0.2, test_fraction=0.2, split_seed=0)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LOSSBENCH_CACHE", str(tmp_path / "cache"))


class Faces(torch.utils.data.Dataset):
    """Image i of seed ``first`` + i, in one of the forms that datasets give images in; ten of each class."""

    reads = 0

    def __init__(self, n=30, first=0, form="pil", classes=3, names=None):
        self.n, self.first, self.form, self.classes, self.names = n, first, form, classes, names

    def __len__(self):
        return self.n

    def __getitem__(self, row):
        if row >= self.n:
            raise IndexError(row)
        type(self).reads += 1
        label = row % self.classes
        return FORMS[self.form](pixels(self.first + row)), self.names[label] if self.names else label


FORMS = {
    "pil": Image.fromarray,
    "hwc": lambda image: image,
    "chw": lambda image: image.transpose(2, 0, 1),
    "tensor": lambda image: torch.from_numpy(image).permute(2, 0, 1),
    "tensor hwc": torch.from_numpy,
    "float": lambda image: torch.from_numpy(image).permute(2, 0, 1) / 255,
    "double": lambda image: image / 255,
    "half": lambda image: torch.from_numpy(image).permute(2, 0, 1).half() / 255,
    "file": lambda image: Image.open(__import__("io").BytesIO(encoded(image))),
}


def source(train, test=None, **options):
    defaults = {"image_key": "image", "label_key": "label", "height": 6, "width": 6, "channels": 3}
    defaults |= {"fit": "stretch", "revision": 0, "division": DIVISION}
    return TorchDataset(train=train, test={} if test is None else test, **{**defaults, **options})


def of(*items, **options):
    """A source of these items: a list is a map-style dataset."""
    return source(partial(list, items), **options)


def everything(found):
    return np.asarray(found.data)


@pytest.mark.parametrize("form", FORMS)
def test_whatever_the_form_of_an_image_its_pixels_are_the_same(form):
    found = source(partial(Faces, form=form)).collect()
    assert np.array_equal(everything(found), [pixels(seed) for seed in range(30)])
    assert found.names == ("0", "1", "2")
    assert found.labels.tolist() == [row % 3 for row in range(30)]


def test_grey_images_of_all_forms_are_the_same():
    grey = pixels(0)[..., 0]
    forms = [Image.fromarray(grey), grey, grey[..., None], grey[None], torch.from_numpy(grey)]
    forms += [torch.from_numpy(grey)[None], grey / 255]
    found = of(*((form, row % 2) for row, form in enumerate(forms)), channels=1).collect()
    assert np.array_equal(everything(found), np.tile(grey[..., None], (len(forms), 1, 1, 1)))


def test_three_pixels_high_and_wide_a_tensor_has_channels_first_and_an_array_last():
    image = pixels(0, side=3)
    items = [(image, 0), (torch.from_numpy(image).permute(2, 0, 1), 1)]
    found = of(*items, height=3, width=3).collect()
    assert np.array_equal(everything(found), [image, image])


def test_images_of_many_sizes_and_modes_get_one():
    images = [Image.new(mode, size) for mode in ("1", "L", "RGB", "P", "RGBA", "CMYK", "I;16") for size in
              ((9, 4), (2, 30))]  # fmt: skip
    found = of(
        *((image, row % 2) for row, image in enumerate(images)), height=5, width=4, channels=1
    ).collect()
    assert found.data.shape == (14, 5, 4, 1)


def test_a_photograph_is_turned_upright(tmp_path):
    image = pixels(0)
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    Image.fromarray(image).save(tmp_path / "turned.png", exif=exif)
    turned = Image.open(tmp_path / "turned.png")
    found = of((turned, 0), (np.ascontiguousarray(image[::-1, ::-1]), 1)).collect()
    assert np.array_equal(found.data[0], found.data[1])


def test_items_may_be_mappings():
    items = [{"img": pixels(row), "fine": row % 2, "more": None} for row in range(4)]
    assert of(*items, image_key="img", label_key="fine").collect().names == ("0", "1")
    with refused("dataset.train[0]: no image among img, fine, more; set dataset.image_key"):
        of(*items).collect()


def test_a_test_set_prescribes_its_role_and_val_is_drawn_from_train():
    dataset = source(Faces, {"n": 9, "first": 100}).load()
    assert {role: len(split) for role, split in dataset.splits.items()} == {"train": 24, "val": 6, "test": 9}
    tested = dataset.splits["test"]
    rows = sorted(map(bytes, tested.read(slice(None))))
    assert rows == sorted(pixels(100 + row).tobytes() for row in range(9))
    assert not dataset.open_set
    assert dataset.name == "Faces"


def test_without_a_test_set_test_images_are_drawn():
    dataset = source(Faces).load()
    assert {role: len(split) for role, split in dataset.splits.items()} == {"train": 18, "val": 6, "test": 6}


def test_another_division_makes_an_open_set():
    division = ByIdentity(
        val_identities=1, test_identities=2, val_images=1, test_images=1, least_images=2, split_seed=0
    )
    dataset = source(partial(Faces, n=60, classes=6), division=division).load()
    assert dataset.open_set
    assert len(dataset.splits["test_open"].names) == 2


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ((10, 9, 2), ("2", "9", "10")),
        (("b", "a", "c"), ("a", "b", "c")),
        ((torch.tensor(3), torch.tensor([1]), np.int16(2)), ("1", "2", "3")),
        (((1, 2), (0, 5), (1, 1)), ("(0, 5)", "(1, 1)", "(1, 2)")),
        ((0.5, -1, "x"), ("-1", "0.5", "x")),
        ((Colour.RED, Colour.BLUE, "x"), ("Colour.BLUE", "Colour.RED", "x")),
    ],
)
def test_labels_are_sorted_by_value_or_else_by_name(labels, names):
    found = of(*((pixels(row), label) for row, label in enumerate(labels))).collect()
    assert found.names == names
    wanted = [str(label.item() if hasattr(label, "item") else label) for label in labels]
    assert [found.names[label] for label in found.labels] == wanted


@pytest.mark.parametrize(
    ("label", "told"),
    [
        (None, "label NoneType None: expected a number or a text"),
        (float("nan"), "label float nan"),
        ([1], "label list [1]"),
        (object(), "label object"),
        (torch.eye(2)[0], "label of shape (2,): expected one class per image"),
        ("", "label '': give one line"),
        ("a\nb", "label 'a\\nb': give one line"),
        ("1", "label '1' and another, 1, have one name"),
    ],
)
def test_a_label_that_names_nobody_is_refused(label, told):
    with refused(f"dataset.train[1]: {told}"):
        of((pixels(0), 1), (pixels(1), label)).collect()


@pytest.mark.parametrize(
    ("image", "told"),
    [
        ("face.png", "image is str of <U8; expected PIL, uint8 or float"),
        (None, "image is NoneType of object; expected PIL"),
        (pixels(0).astype(np.int64), "image is ndarray of int64"),
        (pixels(0).astype(np.uint16), "image is ndarray of uint16"),
        (pixels(0) / 127.5 - 1, "floats must lie in [0, 1]"),
        (pixels(0).astype(np.float32), "floats must lie in [0, 1]"),
        (np.full((6, 6), np.nan), "image from nan to nan: floats must lie in [0, 1]"),
        (np.zeros((6, 6, 2), np.uint8), "image of shape (6, 6, 2): expected (h, w)"),
        (np.zeros(36, np.uint8), "image of shape (36,)"),
        (np.zeros((0, 6, 3), np.uint8), "image of shape (0, 6, 3)"),
        (torch.zeros(3, 6, 6, requires_grad=True), "requires grad"),
        (torch.zeros(3, 6, 6, dtype=torch.bfloat16), "BFloat16"),
        (Image.new("F", (6, 6)), "floating point values have no known range"),
    ],
)
def test_an_image_of_no_known_form_is_refused(image, told):
    with refused("dataset.train[1]: ", told):
        of((pixels(0), 0), (image, 1)).collect()


@pytest.mark.parametrize(
    ("item", "told"),
    [
        (3, "is a int; expected (image, label) or a mapping"),
        ((pixels(0),), "is a tuple; expected (image, label)"),
        ("ab", "is a str; expected"),
    ],
)
def test_an_item_of_no_known_form_is_refused(item, told):
    with refused("dataset.train[0]: ", told):
        of(item).collect()


class TooLong(Faces):
    def __len__(self):
        return super().__len__() + 2


class Growing(Faces):
    def __len__(self):
        return None


class Streamed(torch.utils.data.IterableDataset):
    def __iter__(self):
        return iter(())


def raising():
    raise RuntimeError("no\nsuch thing")


@pytest.mark.parametrize(
    ("train", "told"),
    [
        (TooLong, "dataset.train[31]: IndexError: 31, though the length is 32"),
        (Growing, "dataset.train: has no length (TypeError"),
        (Streamed, "dataset.train: Streamed has no length or no items by number"),
        (list, "dataset.train: is empty"),
        (raising, "dataset.train: cannot be made (RuntimeError: no such thing)"),
        (partial(Faces, nothing=1), "dataset.train: cannot be made (TypeError"),
    ],
)
@pytest.mark.parametrize("method", ["fingerprint", "load"])
def test_a_dataset_that_does_not_work_is_refused_in_one_line(train, told, method):
    with refused(told):
        getattr(source(train), method)()


def test_a_fault_far_inside_is_named_by_its_item():
    items = [(pixels(row), row % 2) for row in range(100)]
    items[40] = (pixels(0), None)
    with refused("dataset.train[40]: label NoneType"):
        of(*items).collect()


class Restless(Faces):
    def __getitem__(self, row):
        image, label = super().__getitem__(row)
        return (image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if self.reads % 3 else image), label


def test_random_transforms_are_refused():
    with refused("changes when it is read again", "dataset.augment"):
        source(partial(Restless, n=31)).fingerprint()


def test_a_dataset_made_already_is_refused():
    with refused("dataset.train: is made already; give what makes it: _partial_: true"):
        source(Faces())
    with refused("dataset.test=", "give the options that make a test set of train"):
        source(Faces, Faces())


def test_reading_happens_once(monkeypatch):
    first = source(Faces).collect()
    monkeypatch.setattr(torch_dataset, "chunks", lambda *_, **__: pytest.fail("decoded again"))
    again = source(Faces).collect()
    assert again.sha256 == first.sha256
    assert again.names == first.names
    assert again.origin.tolist()[:2] == ["dataset.train[00]", "dataset.train[01]"]


def test_the_fingerprint_follows_options_length_some_items_and_revision():
    one = source(Faces).fingerprint()
    assert source(Faces).fingerprint() == one
    others = [
        source(partial(Faces, classes=4)),
        source(partial(Faces, first=1)),
        source(partial(Faces, n=31)),
        source(partial(Faces, form="hwc")),
        source(Faces, {"first": 30}),
        source(Faces, {"first": 31}),
        source(Faces, revision=1),
        source(Faces, height=5),
        source(Faces, division=ByImage(val_fraction=0.1, test_fraction=0.2, split_seed=0)),
    ]
    assert len({other.fingerprint() for other in others} | {one}) == 10


SCRIPT = """
import sys, numpy
from functools import partial
from lossbench.datasets import ByImage, TorchDataset
items = [(numpy.full((4, 4), row, numpy.uint8), label) for row, label in enumerate("abcb")]
made = TorchDataset(
    train=partial(list, items), test={}, image_key="x", label_key="y",
    height=4, width=4, channels=1, fit="cover", revision=0,
    division=ByImage(val_fraction=0.1, test_fraction=0.1, split_seed=0),
)
print(made.fingerprint(), "torch" in sys.modules)
"""


def test_the_fingerprint_is_the_same_in_another_process_and_needs_no_torch():
    found = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONPATH": str(Path(lossbench.__file__).parents[1]), "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1
    assert found.pop().endswith(" False\n")


def test_a_thing_among_the_options_goes_by_its_class():
    one, other = (Items("x", partial(Faces, names=names), ("", "")).content() for names in
                  ([Colour.RED] * 3, [Colour.BLUE] * 3))  # fmt: skip
    assert one["options"] == other["options"] == [[], {"names": [f"{__name__}.Colour"] * 3}]
    assert one["items"] != other["items"]


def test_an_edited_class_has_another_fingerprint(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    text = "import numpy\nclass Mine(list):\n    pass\n"
    (tmp_path / "mine_of_a_test.py").write_text(text)
    from mine_of_a_test import Mine

    made = partial(Mine, [(pixels(0), 0), (pixels(1), 1)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lossbench.datasets.items._kind", lambda _: "class")
        one = source(made).fingerprint()
        (tmp_path / "mine_of_a_test.py").write_text(text + "# edited\n")
        assert source(made).fingerprint() != one


def test_the_yaml_makes_this_source():
    body = OmegaConf.load(Path(__file__).parents[2] / "conf" / "dataset" / "torch.yaml")
    config = OmegaConf.create({"dataset": body})
    config.dataset.train = {"_target_": f"{__name__}.Faces", "_partial_": True, "n": 60}
    made = instantiate(config.dataset.source)
    assert isinstance(made, TorchDataset)
    assert {role: len(split) for role, split in made.load().splits.items()} == {
        "train": 42, "val": 6, "test": 12
    }  # fmt: skip
