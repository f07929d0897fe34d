"""IJB metadata against files written line by line."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lossbench.readers import (
    read_landmarks,
    read_template_media,
    read_template_pairs,
    read_template_subjects,
)
from tests.readers.samples import refused


def written(folder, text, name="list.txt"):
    path = folder / name
    path.write_bytes(text.encode())
    return path


def test_images_templates_and_media_are_read_and_counted(tmp_path):
    media = read_template_media(written(tmp_path, "1.jpg 7 100\n2.jpg 7 100\n3.jpg 7 101\n4.jpg 9 100\n"))
    assert media.names == ("1.jpg", "2.jpg", "3.jpg", "4.jpg")
    assert media.template.tolist() == [7, 7, 7, 9]
    assert media.media.tolist() == [100, 100, 101, 100]
    assert media.counts() == {"images": 4, "templates": 2, "media": 3}


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("2.jpg 7", "2 fields, expected name, template and media"),
        ("2.jpg 7 100 1", "4 fields, expected name, template and media"),
        ("", "0 fields, expected"),
        ("2.jpg 7 1.5", "'1.5' is no integer"),
        ("2.jpg x 100", "'x' is no integer"),
        ("2.jpg \u0667 100", "is no integer"),
        ("2.jpg 9999999999999999999 1", "is no integer of 64 bits"),
        ("1.jpg 8 100", "image 1.jpg stands there a second time"),
    ],
)
def test_a_wrong_line_of_media_is_named(tmp_path, line, why):
    with refused("list.txt:2: ", why):
        read_template_media(written(tmp_path, f"1.jpg 7 100\n{line}\n3.jpg 7 100\n"))


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(10, 19), st.integers(0, 1)), min_size=1, max_size=40)
)
def test_pairs_and_their_counts_are_those_of_the_lines(tmp_path_factory, rows):
    text = "".join(f"{a} {b} {label}\n" for a, b, label in rows)
    pairs = read_template_pairs(written(tmp_path_factory.mktemp("pairs"), text))
    assert list(zip(pairs.first, pairs.second, pairs.same, strict=True)) == [
        (a, b, bool(c)) for a, b, c in rows
    ]
    genuine = sum(c for _, _, c in rows)
    templates = len({t for a, b, _ in rows for t in (a, b)})
    assert pairs.counts() == {"genuine": genuine, "impostor": len(rows) - genuine, "templates": templates}
    assert (pairs.first.dtype, pairs.same.dtype) == (np.int64, np.bool_)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("1 2 2", "the label is neither 0 nor 1"),
        ("1 2 -1", "the label is neither 0 nor 1"),
        ("5 5 1", "a template is compared with itself"),
        ("1 2", "2 fields, expected 3 integers"),
        ("1 2 yes", "'yes' is no integer"),
    ],
)
def test_a_wrong_pair_is_named(tmp_path, line, why):
    with refused("list.txt:3: ", why):
        read_template_pairs(written(tmp_path, f"1 2 0\n1 3 1\n{line}\n2 3 0\n"))


def test_landmarks_are_five_points_and_a_score(tmp_path):
    text = "1.jpg 1 2 3 4 5 6 7 8 9 10 0.99\n2.jpg -1.5 2e1 3 4 5 6 7 8 9 10 0\n"
    landmarks = read_landmarks(written(tmp_path, text))
    assert landmarks.names == ("1.jpg", "2.jpg")
    assert landmarks.points.tolist()[0] == [[1, 2], [3, 4], [5, 6], [7, 8], [9, 10]]
    assert landmarks.points.tolist()[1][0] == [-1.5, 20]
    np.testing.assert_array_equal(landmarks.score, np.float32([0.99, 0]))
    assert landmarks.points.dtype == landmarks.score.dtype == np.float32


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("2.jpg 1 2 3 4 5 6 7 8 9 10", "11 fields, expected a name, 10 coordinates and a score"),
        ("2.jpg 1 2 3 4 5 6 7 8 9 10 high", "coordinates or score are no numbers"),
        ("2.jpg 1 2 3 4 5 6 7 8 9 nan 1", "coordinates or score are not finite"),
        ("2.jpg 1 2 3 4 5 6 7 8 9 10 inf", "coordinates or score are not finite"),
        ("2.jpg 1 2 3 4 5 6 7 8 9 10 1e99", "coordinates or score are not finite"),
    ],
)
def test_wrong_landmarks_are_named(tmp_path, line, why):
    good = "1.jpg 1 2 3 4 5 6 7 8 9 10 0.99\n"
    with refused("list.txt:2: ", why):
        read_landmarks(written(tmp_path, good + line + "\n"))


OFFICIAL = (
    "TEMPLATE_ID,SUBJECT_ID,FILENAME,SIGHTING_ID,FACE_X\n"
    '11065,1,img/1.png,7,12.5\n11065,1,"img/a,b.png",8,\n11066,1017,frames/2.png,,\n9,1,img/3.png,4,5\n'
)


@pytest.mark.parametrize(
    "text",
    [
        OFFICIAL,
        "\ufeff" + OFFICIAL,
        OFFICIAL.lower(),
        OFFICIAL.replace("\n", "\r\n"),
        "FILENAME, SUBJECT_ID, TEMPLATE_ID\na,1,11065\nb,1,11065\nc,1017,11066\nd,1,9\n",
        "11065,1\n11065,1,x\n11066,1017\n9,1",
    ],
    ids=["official", "byte order mark", "lower case", "line ends", "other columns", "no head"],
)
def test_templates_of_a_gallery_come_once_with_their_subject(tmp_path, text):
    gallery = read_template_subjects(written(tmp_path, text, "gallery.csv"))
    assert gallery.template.tolist() == [11065, 11066, 9]
    assert gallery.subject.tolist() == [1, 1017, 1]
    assert gallery.counts() == {"rows": 4, "templates": 3, "subjects": 2}


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("11065,2,x.png", "template 11065 shows subject 2, above 1"),
        ("11067", "1 columns, template and subject are missing"),
        ("", "0 columns, template and subject are missing"),
        ("abc,1,x.png", "'abc' is no integer"),
        ("12,1.0,x.png", "'1.0' is no integer"),
    ],
)
def test_a_wrong_line_of_a_gallery_is_named(tmp_path, line, why):
    with refused("list.txt:6: ", why):
        read_template_subjects(written(tmp_path, OFFICIAL + line + "\n"))


def test_a_head_with_other_names_is_refused(tmp_path):
    with refused("list.txt:1: 'TEMPLATE' is no integer"):
        read_template_subjects(written(tmp_path, "TEMPLATE,SUBJECT\n1,2\n"))


@pytest.mark.parametrize(
    "reader", [read_template_media, read_template_pairs, read_landmarks, read_template_subjects]
)
def test_a_file_that_lists_nothing_is_refused(tmp_path, reader):
    with refused("list.txt: the file lists nothing"):
        reader(written(tmp_path, ""))
    if reader is read_template_subjects:
        with refused("list.txt: the file lists nothing"):
            reader(written(tmp_path, "TEMPLATE_ID,SUBJECT_ID\n"))
