"""What is drawn: whole characters, on one baseline, no two identities alike."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from lossbench.datasets.drawing import BASELINE, MIN_STYLES, draw_characters
from lossbench.datasets.fonts import FONTS, font_faces

Arrays = dict[str, np.ndarray]


def glyph(drawn: Arrays, character: str, font: str) -> np.ndarray:
    chosen = (drawn["codepoint"] == ord(character)) & (drawn["font_name"][drawn["font"]] == font)
    (image,) = drawn["images"][chosen]
    return image


def test_drawing_twice_gives_the_same_pixels(drawn: Arrays) -> None:
    again = draw_characters(font_faces())
    assert again.keys() == drawn.keys()
    for name, array in again.items():
        np.testing.assert_array_equal(array, drawn[name])


def test_there_are_about_2300_identities_of_6_to_16_styles(drawn: Arrays) -> None:
    identities, styles = np.unique(drawn["codepoint"], return_counts=True)
    assert len(identities) == 2354
    assert len(drawn["images"]) == 26949
    assert styles.min() == MIN_STYLES
    assert styles.max() == len(FONTS)


def test_no_two_identities_share_a_bitmap_in_any_fonts(drawn: Arrays) -> None:
    owners = defaultdict(set)
    for image, codepoint in zip(drawn["images"], drawn["codepoint"], strict=True):
        owners[image.tobytes()].add(int(codepoint))
    assert max(map(len, owners.values())) == 1


def test_no_drawing_of_one_identity_repeats(drawn: Arrays) -> None:
    assert len({image.tobytes() for image in drawn["images"]}) == len(drawn["images"])


def test_no_drawing_is_blank(drawn: Arrays) -> None:
    assert drawn["images"].any(axis=(1, 2)).all()


def test_lookalikes_of_three_scripts_are_one_identity(drawn: Arrays) -> None:
    kept = set(drawn["codepoint"].tolist())
    assert ord("A") in kept
    assert not {ord("\N{GREEK CAPITAL LETTER ALPHA}"), ord("\N{CYRILLIC CAPITAL LETTER A}")} & kept


def test_accented_letters_stay_identities_of_their_own(drawn: Arrays) -> None:
    assert {ord(character) for character in "EÉÈÊËeéèêë"} <= set(drawn["codepoint"].tolist())


def test_capitals_stand_on_the_baseline_and_are_centred(drawn: Arrays) -> None:
    image = glyph(drawn, "H", "DejaVuSans")
    inked_rows, inked_columns = np.flatnonzero(image.any(1)), np.flatnonzero(image.any(0))
    assert inked_rows[-1] == BASELINE - 1
    assert abs(inked_columns[0] - (31 - inked_columns[-1])) <= 1


def test_an_accent_leaves_its_letter_in_place(drawn: Arrays) -> None:
    plain, accented = glyph(drawn, "E", "DejaVuSans"), glyph(drawn, "É", "DejaVuSans")
    top = np.flatnonzero(plain.any(1))[0]
    np.testing.assert_array_equal(plain[top:], accented[top:])
    assert accented[:top].any()


def test_descenders_go_below_the_baseline(drawn: Arrays) -> None:
    assert glyph(drawn, "g", "DejaVuSans")[BASELINE:].any()


def test_drawings_are_sorted_by_codepoint_then_font(drawn: Arrays) -> None:
    order = np.lexsort((drawn["font"], drawn["codepoint"]))
    np.testing.assert_array_equal(order, np.arange(len(order)))
