"""Characters of the fonts on a machine, here those inside matplotlib, of which a few letters are wanted."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from fontTools.ttLib import TTCollection, TTFont
from hydra.utils import instantiate
from omegaconf import OmegaConf

from lossbench.config import conf_dir
from lossbench.datasets import Dataset, cjk, cjk_fonts
from lossbench.datasets.cjk import CJKGlyphs
from lossbench.datasets.cjk_fonts import cjk_faces, is_cjk
from lossbench.datasets.drawing import draw_characters, faces_of
from lossbench.datasets.fonts import Face, font_files
from lossbench.naming import part_name

LETTERS = ((ord("A"), ord("Z")), (ord("a"), ord("z")))
OPTIONS = {
    "train_identities": 12,
    "val_identities": 4,
    "test_identities": 8,
    "val_styles": 1,
    "test_styles": 1,
    "split_seed": 0,
    "min_styles": 4,
}
TINY = "STIXSizOneSymReg"


@pytest.fixture(autouse=True)
def _letters(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cjk_fonts, "RANGES", LETTERS)
    monkeypatch.setenv("LOSSBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six fonts in nested folders, beside files that are none."""
    place = tmp_path / "fonts"
    for file in [*font_files()[:2], *font_files()[8:12]]:
        (place / file.stem[:10]).mkdir(parents=True, exist_ok=True)
        shutil.copy(file, place / file.stem[:10])
    (place / "README.txt").write_text("no font")
    return place


def source(folder: Path | None, **options: object) -> CJKGlyphs:
    return CJKGlyphs(**{**OPTIONS, **options}, fonts=None if folder is None else str(folder))


def names(dataset: Dataset, role: str) -> set[str]:
    return set(dataset.splits[role].names)


def test_identities_are_the_wanted_characters_each_in_one_open_role(folder: Path) -> None:
    dataset = source(folder).load()
    roles = {role: names(dataset, role) for role in ("train", "val_open", "test_open", "distractors")}
    assert [len(own) for own in roles.values()][:3] == [12, 4, 8]
    everybody = set().union(*roles.values())
    assert sum(map(len, roles.values())) == len(everybody)
    assert {"U+0041 A", "U+0067 g"} <= everybody
    assert all(name.split()[1].isascii() and name.split()[1].isalpha() for name in everybody)
    assert dataset.name == "glyphs_cjk"
    assert dataset.shape == (32, 32, 1)
    assert dataset.open_set


def test_rows_show_the_character_they_name_in_the_font_of_their_origin(folder: Path) -> None:
    dataset = source(folder).load()
    drawn = draw_characters(cjk_faces(folder), wanted=is_cjk, em=cjk.EM, baseline=cjk.BASELINE, min_styles=4)
    owner = {image.tobytes(): chr(c) for image, c in zip(drawn["images"], drawn["codepoint"], strict=True)}
    seen = 0
    for split in dataset.splits.values():
        for row, label in zip(split.read(slice(None)), split.labels, strict=True):
            assert split.names[label].endswith(owner[row.tobytes()])
            seen += 1
    assert seen == len(drawn["images"])


def test_held_out_styles_are_one_each_and_not_in_train(folder: Path) -> None:
    dataset = source(folder).load()
    rows = {
        role: {row.tobytes() for row in dataset.splits[role].read(slice(None))} for role in dataset.splits
    }
    assert not rows["train"] & (rows["val"] | rows["test"])
    for role in ("val", "test"):
        assert np.bincount(dataset.splits[role].labels).tolist() == [1] * 12


def test_the_same_fonts_elsewhere_give_the_same_set(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, fingerprint = source(folder).load(), source(folder).fingerprint()
    moved = tmp_path / "moved"
    shutil.copytree(folder, moved)
    monkeypatch.setenv("LOSSBENCH_CACHE", str(tmp_path / "other cache"))
    assert source(moved).fingerprint() == fingerprint
    assert source(moved).load().sha256 == one.sha256


def test_copies_of_a_font_and_links_to_it_count_once(folder: Path) -> None:
    before = cjk_faces(folder)
    (folder / "link.ttf").symlink_to(before[0].file)
    shutil.copy(before[1].file, folder / "zzz.ttf")
    assert cjk_faces(folder) == before
    assert len(before) == 6


def test_the_fingerprint_changes_with_the_fonts_and_with_every_option_but_the_name(folder: Path) -> None:
    own = source(folder).fingerprint()
    others = {source(folder, **{name: value + 1}).fingerprint() for name, value in OPTIONS.items()}
    assert len(others | {own}) == len(OPTIONS) + 1
    assert source(folder, name="mine").fingerprint() == own
    shutil.copy(font_files()[4], folder)
    assert source(folder).fingerprint() != own


def test_a_second_load_maps_what_the_first_drew(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = source(folder).load()
    monkeypatch.setattr(cjk, "draw_characters", lambda *_, **__: pytest.fail("drawn again"))
    again = source(folder, split_seed=1).load()
    data = {id(split.data) for split in again.splits.values()}
    assert len(data) == 1
    assert isinstance(again.splits["train"].data, np.memmap)
    assert names(again, "train") != names(first, "train")


def test_every_face_of_a_collection_is_a_font_of_its_own(folder: Path) -> None:
    collection = TTCollection()
    collection.fonts = [TTFont(file) for file in sorted(folder.rglob("*.ttf"))[:2]]
    shutil.rmtree(folder)
    folder.mkdir()
    collection.save(folder / "two.ttc")
    faces = cjk_faces(folder)
    assert [face.index for face in faces] == [0, 1]
    assert [face.name.split()[0] for face in faces] == ["two", "two"]
    drawn = draw_characters(faces, wanted=is_cjk, min_styles=2)
    assert set(drawn["font"]) == {0, 1}


def test_a_file_that_is_no_font_is_left_out_and_named(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = cjk_faces(folder)
    (folder / "torn.ttf").write_bytes(font_files()[0].read_bytes()[:5000])
    (folder / "empty.otf").touch()
    with caplog.at_level(logging.WARNING):
        assert cjk_faces(folder) == before
    assert {record.args[0].name for record in caplog.records} == {"torn.ttf", "empty.otf"}
    assert not any("\n" in record.getMessage() for record in caplog.records)


def test_fonts_without_such_characters_are_passed_over(folder: Path) -> None:
    before = cjk_faces(folder)
    shutil.copy(font_files()[0].with_name(f"{TINY}.ttf"), folder)
    assert cjk_faces(folder) == before


def test_a_box_drawn_for_what_a_font_lacks_is_no_drawing_of_any_character(tmp_path: Path) -> None:
    font = TTFont(font_files()[0].with_name(f"{TINY}.ttf"))
    shown = [name for name in font.getGlyphOrder() if name.startswith("paren")]
    for table in font["cmap"].tables:
        if table.isUnicode():
            table.cmap.update(dict.fromkeys(range(ord("A"), ord("M")), shown[0]))
            table.cmap[ord("Z")] = shown[-1]
    font.save(tmp_path / "boxes.ttf")
    drawn = draw_characters([Face("boxes", tmp_path / "boxes.ttf")], wanted=is_cjk, em=8, min_styles=1)
    assert drawn["codepoint"].tolist() == [ord("Z")]


def test_without_fonts_one_line_names_packages_to_install(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^no font with .* in .*nowhere; install .*fonts-noto-cjk") as found:
        source(tmp_path / "nowhere").fingerprint()
    assert "\n" not in str(found.value)
    assert "dataset.fonts=FOLDER" in str(found.value)


def test_the_systems_own_folders_are_searched_where_none_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cjk_fonts, "_system_folders", lambda: [folder])
    assert source(None).fingerprint() == source(folder).fingerprint()


def test_more_identities_or_styles_than_there_are_is_one_line(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"^train_identities=90, .*102 asked for, \d+ exist; lower one"):
        source(folder, train_identities=90).load()
    with pytest.raises(ValueError, match=r"^min_styles=9: no character has so many .* 6 fonts found; lower"):
        source(folder, min_styles=9).load()
    with pytest.raises(ValueError, match=r"^test_styles=3: must .*in \[0, 2\]; .* no more than 4 styles"):
        source(folder, test_styles=3)


def test_ranges_hold_ideographs_kana_and_hangul_and_no_latin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert all(map(is_cjk, map(ord, "あンー一龥㐀가힣𠀀")))
    assert not any(map(is_cjk, map(ord, "Aé、⼀")))


def test_all_faces_of_a_plain_font_file_are_one() -> None:
    ((index, characters),) = faces_of(font_files()[0])
    assert index == 0
    assert ord("A") in characters
    assert characters == sorted(characters)


def test_a_folder_in_the_home_may_be_written_with_a_tilde(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(folder.parent))
    assert CJKGlyphs(**OPTIONS, fonts="~/fonts").fingerprint() == source(folder).fingerprint()


def test_the_yaml_makes_the_set_and_gives_it_its_name(folder: Path) -> None:
    config = OmegaConf.create({"dataset": OmegaConf.load(conf_dir() / "dataset" / "glyphs_cjk.yaml")})
    config.dataset.fonts = str(folder)
    made = instantiate(config.dataset.source)
    assert isinstance(made, CJKGlyphs)
    assert made.fonts == str(folder)
    assert part_name("dataset", OmegaConf.to_container(config.dataset, resolve=True)) == "glyphs_cjk"
