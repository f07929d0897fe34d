"""The chapter's claims on the report page."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from lossbench.report.__main__ import main
from lossbench.report.claims import claims_section, read_claims

FIELDS = ["id", "section", "claim", "expected", "measured", "verdict", "remark"]
SVG = '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


@pytest.fixture
def claims_file(tmp_path: Path) -> Path:
    path = tmp_path / "chapter" / "claims.csv"
    path.parent.mkdir()
    rows = [
        ["C-1", "3.6", "1 < 2", "yes", "yes", "holds", ""],
        ["C-2", "3.6", "2 < 1", "yes", "no", "wrong", "1 < 2"],
    ]
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([FIELDS, *rows])
    (path.parent / "fig-a.svg").write_text(SVG)
    page = "| table |\n\n![C-2](fig-a.svg)\n\n![C-2](absent.svg)\n\n![C-1](../../etc/passwd.svg)\n"
    path.with_suffix(".md").write_text(page, encoding="utf-8")
    return path


def test_claims_come_with_their_verdicts_and_figures(claims_file: Path) -> None:
    text = claims_section(read_claims(claims_file))
    assert text is not None
    assert "2 claims: 1 holds, 1 wrong." in text
    assert "<td>1 &lt; 2</td>" in text
    # As an image a script inside the figure does not run; a figure that is not there is left out.
    assert text.count("data:image/svg+xml;base64,") == 1
    assert "alert" not in text


def test_a_figure_outside_the_folder_is_not_read(claims_file: Path) -> None:
    first, second = read_claims(claims_file)
    assert first.figures == ()
    assert [path.name for path in second.figures] == ["fig-a.svg", "absent.svg"]


def test_claims_without_a_page_have_no_figures(claims_file: Path) -> None:
    claims_file.with_suffix(".md").unlink()
    assert [claim.figures for claim in read_claims(claims_file)] == [(), ()]
    assert claims_section([]) is None


def test_the_report_shows_them_when_asked_to(run_folders: Path, claims_file: Path) -> None:
    assert main([str(run_folders), "--no-figures", "--claims", str(claims_file)]) == 0
    text = (run_folders / "report/report.html").read_text(encoding="utf-8")
    assert "Claims of the chapter" in text
    assert "1 holds, 1 wrong" in text


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"id,verdict\n1,holds\n", "no column claim, expected, measured, remark, section"),
        (b"\xff\xfe\x00", "not a readable table of claims"),
        (None, "not a readable table of claims"),
    ],
)
def test_another_file_is_refused_in_one_line(
    content: bytes | None, told: str, run_folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "claims.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SystemExit, match="2"):
        main([str(run_folders), "--claims", str(path)])
    assert told in capsys.readouterr().err.splitlines()[-1]
