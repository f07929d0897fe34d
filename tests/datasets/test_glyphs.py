"""The default data set: who is in which split, and how its identity is told."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from lossbench.config import conf_dir
from lossbench.datasets import Dataset, Glyphs, glyphs
from lossbench.naming import part_name
from tests.datasets.conftest import DEFAULTS


def rows_of(dataset: Dataset, *roles: str) -> set[bytes]:
    return {row.tobytes() for role in roles for row in dataset.splits[role].data}


def test_default_splits_have_the_sizes_asked_for(default_glyphs: Dataset) -> None:
    identities = {role: len(split.names) for role, split in default_glyphs.splits.items()}
    assert identities == {
        "train": 1100,
        "val": 1100,
        "test": 1100,
        "val_open": 200,
        "test_open": 700,
        "distractors": 354,
    }
    assert len(default_glyphs.splits["val"]) == 1100
    assert len(default_glyphs.splits["test"]) == 2200
    assert sum(map(len, default_glyphs.splits.values())) == 26949
    assert default_glyphs.open_set
    assert default_glyphs.classes == 1100
    assert default_glyphs.shape == (32, 32, 1)


def test_open_roles_share_no_identity(default_glyphs: Dataset) -> None:
    roles = [default_glyphs.splits[role].names for role in ("train", "val_open", "test_open", "distractors")]
    assert len(set().union(*roles)) == sum(map(len, roles)) == 2354


def test_every_split_shows_every_identity_it_names(default_glyphs: Dataset) -> None:
    for split in default_glyphs.splits.values():
        assert split.data.dtype == np.uint8
        assert split.labels.dtype == np.int64
        np.testing.assert_array_equal(np.unique(split.labels), np.arange(len(split.names)))


def test_held_out_styles_are_not_in_train(default_glyphs: Dataset) -> None:
    assert not rows_of(default_glyphs, "train") & rows_of(default_glyphs, "val", "test")
    assert not rows_of(default_glyphs, "val") & rows_of(default_glyphs, "test")
    assert (np.bincount(default_glyphs.splits["val"].labels) == 1).all()
    assert (np.bincount(default_glyphs.splits["test"].labels) == 2).all()


def test_labels_name_the_character_drawn(default_glyphs: Dataset, drawn: dict[str, np.ndarray]) -> None:
    owner = {image.tobytes(): int(c) for image, c in zip(drawn["images"], drawn["codepoint"], strict=True)}
    for split in default_glyphs.splits.values():
        for row, label in zip(split.data[::50], split.labels[::50], strict=True):
            assert split.names[label].startswith(f"U+{owner[row.tobytes()]:04X}")


def test_names_are_unicode_names(default_glyphs: Dataset) -> None:
    names = {name for split in default_glyphs.splits.values() for name in split.names}
    assert "U+0041 LATIN CAPITAL LETTER A" in names


def test_held_out_styles_differ_between_identities(
    default_glyphs: Dataset, drawn: dict[str, np.ndarray]
) -> None:
    font = {image.tobytes(): int(f) for image, f in zip(drawn["images"], drawn["font"], strict=True)}
    fonts = {font[row.tobytes()] for row in default_glyphs.splits["val"].data}
    assert len(fonts) == 16


def test_another_split_seed_gives_other_identities(default_glyphs: Dataset) -> None:
    other = Glyphs(**{**DEFAULTS, "split_seed": 1}).load()
    assert other.splits["train"].names != default_glyphs.splits["train"].names
    assert other.sha256 == default_glyphs.sha256


def test_a_role_of_no_identities_or_styles_is_absent() -> None:
    source = Glyphs(**{**DEFAULTS, "val_identities": 0, "train_identities": 1654, "val_styles": 0})
    assert set(source.load().splits) == {"train", "test", "test_open"}


def test_sha256_is_the_reference_here(default_glyphs: Dataset) -> None:
    assert default_glyphs.sha256 == glyphs.REFERENCE_SHA256


def test_other_pixels_are_warned_about_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(glyphs, "REFERENCE_SHA256", "0" * 64)
    with pytest.warns(UserWarning, match=r"matplotlib 3\..* FreeType 2\..*not comparable") as caught:
        Glyphs(**DEFAULTS).load()
    assert "\n" not in str(caught[0].message)


def test_asking_for_more_identities_than_exist_is_one_line() -> None:
    with pytest.raises(ValueError, match=r"^train_identities=2000, .*2900 asked for, 2354 exist; lower"):
        Glyphs(**{**DEFAULTS, "train_identities": 2000}).load()


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("train_identities", 0, "must .*>= 1"),
        ("val_identities", -1, "must .*>= 0"),
        ("test_identities", 2.5, "must be a whole number"),
        ("val_styles", True, "must be a whole number"),
        ("test_styles", 5, r"must .*in \[0, 4\]; an identity may have no more than 6"),
        ("split_seed", "a", "must be a whole number"),
    ],
)
def test_a_bad_option_is_refused_in_one_line(option: str, value: object, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{option}={value}: {message}"):
        Glyphs(**{**DEFAULTS, option: value})


def test_fingerprint_changes_with_every_option_but_not_with_their_order() -> None:
    prints = {Glyphs(**{**DEFAULTS, name: value + 1}).fingerprint() for name, value in DEFAULTS.items()}
    own = Glyphs(**DEFAULTS).fingerprint()
    assert len(prints | {own}) == len(DEFAULTS) + 1
    assert Glyphs(**dict(reversed(DEFAULTS.items()))).fingerprint() == own


def test_fingerprint_changes_with_the_generator_and_the_fonts(monkeypatch: pytest.MonkeyPatch) -> None:
    own = Glyphs(**DEFAULTS).fingerprint()
    monkeypatch.setattr(glyphs, "GENERATOR", 99)
    assert Glyphs(**DEFAULTS).fingerprint() != own
    monkeypatch.undo()
    monkeypatch.setattr(glyphs, "font_hashes", lambda: {"DejaVuSans": "0"})
    assert Glyphs(**DEFAULTS).fingerprint() != own


def test_fingerprint_takes_less_than_a_tenth_of_a_second() -> None:
    source = Glyphs(**DEFAULTS)
    times = []
    for _ in range(3):
        start = time.perf_counter()
        source.fingerprint()
        times.append(time.perf_counter() - start)
    assert min(times) < 0.1


def test_fingerprint_imports_neither_torch_nor_matplotlib() -> None:
    code = (
        "import sys; from lossbench.datasets import Glyphs\n"
        f"Glyphs(**{DEFAULTS}).fingerprint()\n"
        "print([name for name in ('torch', 'matplotlib', 'sklearn', 'scipy') if name in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert out.stdout.strip() == "[]"


def test_the_default_set_is_the_one_of_the_published_results() -> None:
    default = "ec1b7ad98614795af1045d5e74f52c6c01342bc9e2e56e0bdf65e99dd270f3be"
    assert Glyphs(**DEFAULTS).fingerprint() == default
    assert Glyphs(**DEFAULTS, min_styles=6, name="mine").fingerprint() == default
    assert Glyphs(**DEFAULTS, min_styles=5).fingerprint() != default


def test_a_character_of_fewer_styles_can_be_an_identity(drawn: dict[str, np.ndarray]) -> None:
    source = instantiate(OmegaConf.load(conf_dir() / "dataset" / "glyphs_large.yaml").source)
    large = source.load()
    sizes = {role: len(split.names) for role, split in large.splits.items()}
    assert sizes["train"] + sizes["val_open"] + sizes["test_open"] + sizes["distractors"] == 3887
    assert sum(map(len, large.splits.values())) == 33088
    assert large.name == "glyphs_large"
    everybody = {int(name.split()[0][2:], 16) for split in large.splits.values() for name in split.names}
    assert len(set(drawn["codepoint"].tolist()) - everybody) < 20  # those that now look like a lower one


@pytest.mark.parametrize("name", ["glyphs", "glyphs_large"])
def test_the_two_sizes_carry_their_own_names_in_tables(name: str) -> None:
    config = OmegaConf.create({"dataset": OmegaConf.load(conf_dir() / "dataset" / f"{name}.yaml")})
    assert part_name("dataset", OmegaConf.to_container(config.dataset, resolve=True)) == name


def test_styles_held_out_leave_one_to_train_on_however_few_there_are() -> None:
    with pytest.raises(ValueError, match=r"^test_styles=2: must .*in \[0, 1\]; .* no more than 3 styles"):
        Glyphs(**DEFAULTS, min_styles=3)
    with pytest.raises(ValueError, match=r"^min_styles=0: must be a whole number >= 1"):
        Glyphs(**DEFAULTS, min_styles=0)
