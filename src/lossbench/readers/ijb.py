"""IJB-B and IJB-C metadata: templates and media, pairs of templates, landmarks, galleries and probes.

The text files are those that circulate with the face crops (ijbc_face_tid_mid.txt and so on), fields between
blanks; the csv files are the official ones of the 1:N protocol (ijbc_1N_gallery_G1.csv and so on).
"""

from __future__ import annotations

import csv
from array import array
from dataclasses import dataclass

import numpy as np

from lossbench.readers.list_files import Location, integer_table, text_lines


@dataclass(frozen=True)
class TemplateMedia:
    """One row per face crop: names (n), template and media (n,) int64; frames of a video share a medium."""

    names: tuple[str, ...]
    template: np.ndarray
    media: np.ndarray

    def counts(self) -> dict[str, int]:
        """Number of images, templates, and media within templates."""
        media = np.unique(np.stack([self.template, self.media], axis=1), axis=0)
        return {"images": len(self.names), "templates": len(np.unique(self.template)), "media": len(media)}


@dataclass(frozen=True)
class TemplatePairs:
    """1:1 comparisons: first (p,) and second (p,) int64 templates, same (p,) bool."""

    first: np.ndarray
    second: np.ndarray
    same: np.ndarray

    def counts(self) -> dict[str, int]:
        """Number of genuine and impostor pairs, and of the templates in them."""
        genuine = int(self.same.sum())
        templates = len(np.union1d(self.first, self.second))
        return {"genuine": genuine, "impostor": len(self.same) - genuine, "templates": templates}


@dataclass(frozen=True)
class Landmarks:
    """One row per face crop: names (n), points (n, 5, 2) float32, x and y in pixels, score (n,) float32."""

    names: tuple[str, ...]
    points: np.ndarray
    score: np.ndarray


@dataclass(frozen=True)
class TemplateSubjects:
    """A gallery or probes: template (t,) int64, each once, in order of the file, and subject (t,) int64."""

    template: np.ndarray
    subject: np.ndarray
    rows: int

    def counts(self) -> dict[str, int]:
        """Number of rows (images), templates and subjects."""
        subjects = len(np.unique(self.subject))
        return {"rows": self.rows, "templates": len(self.template), "subjects": subjects}


def read_template_media(path: Location) -> TemplateMedia:
    """Read *_face_tid_mid.txt: lines "name template media", one per face crop, each name once.

    Raises ValueError naming file and line.
    """
    names: dict[str, None] = {}
    numbers = []
    for number, line in text_lines(path):
        fields = line.split()
        if len(fields) != 3:
            raise ValueError(f"{path}:{number}: {len(fields)} fields, expected name, template and media")
        if fields[0] in names:
            raise ValueError(f"{path}:{number}: image {fields[0]} stands there a second time")
        names[fields[0]] = None
        numbers.append([_integer(field, path, number) for field in fields[1:]])
    _check_rows(path, len(numbers))
    table = np.array(numbers, dtype=np.int64)
    return TemplateMedia(tuple(names), table[:, 0], table[:, 1])


def read_template_pairs(path: Location) -> TemplatePairs:
    """Read *_template_pair_label.txt: lines "template template label", label 1 for one person, 0 for two.

    IJB-C's 15.7 million lines take some seconds and 0.4 GB. Raises ValueError naming file and line.
    """
    table = integer_table(path, 3)
    _check_rows(path, len(table))
    first, second, label = table.T
    for wrong, fault in (
        ((label != 0) & (label != 1), "the label is neither 0 nor 1"),
        (first == second, "a template is compared with itself"),
    ):
        if wrong.any():
            raise ValueError(f"{path}:{int(wrong.argmax()) + 1}: {fault}")
    return TemplatePairs(first.copy(), second.copy(), label == 1)


def read_landmarks(path: Location) -> Landmarks:
    """Read *_name_5pts_score.txt: lines "name x1 y1 ... x5 y5 score", one per face crop.

    Raises ValueError naming file and line.
    """
    names: list[str] = []
    numbers = array("f")
    for number, line in text_lines(path):
        fields = line.split()
        if len(fields) != 12:
            raise ValueError(
                f"{path}:{number}: {len(fields)} fields, expected a name, 10 coordinates and a score"
            )
        names.append(fields[0])
        try:
            numbers.extend(map(float, fields[1:]))
        except ValueError:
            raise ValueError(f"{path}:{number}: coordinates or score are no numbers") from None
    _check_rows(path, len(names))
    table = np.array(numbers).reshape(-1, 11)
    finite = np.isfinite(table).all(axis=1)
    if not finite.all():
        raise ValueError(f"{path}:{int(finite.argmin()) + 1}: coordinates or score are not finite")
    return Landmarks(tuple(names), table[:, :10].reshape(-1, 5, 2), table[:, 10])


def read_template_subjects(path: Location) -> TemplateSubjects:
    """Read *_1N_gallery_*.csv or *_1N_probe_*.csv: a gallery, or probes, of the identification protocol.

    A head names the columns, among them TEMPLATE_ID and SUBJECT_ID in any place and case; without a head the
    first two columns are they. There is a row per image; rows of one template must name one subject, other
    columns are not read. Raises ValueError naming file and line.
    """
    found: dict[int, int] = {}
    rows = 0
    columns = (0, 1)
    for number, line in text_lines(path):
        try:
            fields = next(csv.reader([line]), [])
        except csv.Error as error:
            raise ValueError(f"{path}:{number}: {error}") from None
        if number == 1 and (head := _template_columns(fields)):
            columns = head
            continue
        if len(fields) <= max(columns):
            raise ValueError(f"{path}:{number}: {len(fields)} columns, template and subject are missing")
        template, subject = (_integer(fields[column], path, number) for column in columns)
        if found.setdefault(template, subject) != subject:
            raise ValueError(
                f"{path}:{number}: template {template} shows subject {subject}, above {found[template]}"
            )
        rows += 1
    _check_rows(path, rows)
    template, subject = np.array(list(found.items()), dtype=np.int64).T
    return TemplateSubjects(template.copy(), subject.copy(), rows)


def _template_columns(fields: list[str]) -> tuple[int, int] | None:
    names = [field.strip().lstrip("\ufeff").upper() for field in fields]
    if "TEMPLATE_ID" in names and "SUBJECT_ID" in names:
        return names.index("TEMPLATE_ID"), names.index("SUBJECT_ID")
    return None


def _integer(field: str, path: Location, number: int) -> int:
    text = field.strip()
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 18):
        raise ValueError(f"{path}:{number}: {text[:40]!r} is no integer of 64 bits")
    return int(text)


def _check_rows(path: Location, rows: int) -> None:
    if not rows:
        raise ValueError(f"{path}: the file lists nothing")
