"""Tables: what stands in them, exactly."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from lossbench import __version__
from lossbench.records import Record
from lossbench.report.export import runs_csv, table_csv
from lossbench.report.groups import group_records
from lossbench.report.kinds import kind
from lossbench.report.names import format_value, is_rate, pretty_name
from lossbench.report.summary import run_summary, sweep_summary
from lossbench.report.table import choose_metrics, markdown_table, rich_table, table_cells

MakeRecord = Callable[..., Record]


def shown(renderable: object, width: int = 200) -> str:
    console = Console(width=width, file=io.StringIO())
    console.print(renderable)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("metric", "name"),
    [
        ("test/tar_far_1e_3", "TAR@FAR=1e-3"),
        ("test/tar_far_2_5e_4", "TAR@FAR=2.5e-4"),
        ("test/dir_far_1e_2", "DIR@FAR=1e-2"),
        ("test/cmc_1", "rank-1"),
        ("test/accuracy_top5", "top-5 accuracy"),
        ("test/nll", "NLL"),
        ("val/auc", "val AUC"),
        ("test/macro/eer", "macro EER"),
        ("test/trials/realised_far_1e_4_mean", "trials FAR realised for TAR@FAR=1e-4, mean"),
        ("test/insightface/tpir_fpir_2_5e_2", "insightface TPIR@FPIR=2.5e-2"),
        ("test/mean_norm", "mean norm"),
    ],
)
def test_metrics_are_printed_as_people_print_them(metric: str, name: str) -> None:
    assert pretty_name(metric) == name


def test_every_metric_of_a_committed_run_has_its_kind() -> None:
    results = Path(__file__).parents[2] / "results"
    tables = [path.read_text(encoding="utf-8") for path in results.glob("*/runs.csv")]
    names = {name for table in tables for name in table.splitlines()[0].split(",")}
    metrics = {name for name in names if name.startswith(("test/", "val/"))}
    assert len(metrics) > 100
    assert [name for name in sorted(metrics) if kind(name) is None] == []


def test_rates_are_percent_and_likelihoods_are_not() -> None:
    assert is_rate("test/macro/tar_far_1e_3")
    assert not is_rate("test/nll")
    assert format_value("test/eer", 0.0512) == "5.12"
    assert format_value("test/nll", 1.23456) == "1.235"


def test_the_markdown_table_is_exactly_this(record: MakeRecord) -> None:
    runs = [record(seed=seed, metrics={"test/accuracy": a, "test/eer": e}) for seed, a, e in RUNS]
    runs.append(record("linear", metrics={"test/accuracy": 0.8, "test/eer": None}))
    groups = group_records(runs)
    text = markdown_table(groups, choose_metrics(runs), ["runs/", "--out", "my report"])
    assert text == EXPECTED.replace("VERSION", __version__)


RUNS = [(0, 0.90, 0.05), (1, 0.91, 0.04), (2, 0.92, 0.06)]
# sd is 0.01 in both: half-width 4.302653 * 0.01 / sqrt(3) = 2.48 %.
EXPECTED = """\
4 runs, 3 seeds (0, 1, 2); made by `python -m lossbench.report runs/ --out 'my report'`, lossbench VERSION.

| head | loss | knobs | seeds | accuracy % | EER % | seconds | MB |
| :--- | :--- | :--- | ---: | ---: | ---: | ---: | ---: |
| amsoftmax | ce | m=0.35 s=30 | 3 | 91.00 ± 2.48 | 5.00 ± 2.48 | 91 | 700 |
| linear | ce |  | 1 | 80.00 | – | 90 | 700 |

Mean ± half-width of the 95 % confidence interval over seeds (Student t); no ± where there is one seed. \
Seconds and MB (peak memory): median over seeds.

Ran on: cpu Xeon; threads 2; precision bf16; commit abc1234.
"""  # noqa: RUF001


def test_datasets_are_a_column_only_where_they_differ(record: MakeRecord) -> None:
    other = record(details=record().details | {"dataset": "lfw"})
    assert "dataset" not in table_cells(group_records([record()]), [])[0]
    header, rows = table_cells(group_records([record(), other]), [])
    assert [row[header.index("dataset")] for row in rows] == ["glyphs", "lfw"]


def test_a_partly_undefined_metric_says_on_how_many_seeds_it_rests(record: MakeRecord) -> None:
    values = (0.5, 0.7, None)
    runs = [record(seed=seed, metrics={"test/tar_far_1e_3": value}) for seed, value in enumerate(values)]
    _, ((*_, cell, _, _),) = table_cells(group_records(runs), ["test/tar_far_1e_3"])
    assert cell.startswith("60.00 ± ")
    assert cell.endswith(" (2 of 3)")


def test_a_pipe_in_a_name_does_not_break_the_table(record: MakeRecord) -> None:
    strange = record(details=record().details | {"head": "a|b"})
    assert "| a\\|b |" in markdown_table(group_records([strange]), [], [])


def test_square_brackets_in_a_name_are_shown(record: MakeRecord) -> None:
    strange = record(details=record().details | {"head": "[red]x"})
    assert "[red]x" in shown(rich_table(group_records([strange]), []))
    assert "[red]x" in shown(run_summary(strange, "runs/x"))


def test_no_number_is_lost_in_a_narrow_terminal(record: MakeRecord) -> None:
    metrics = {
        f"test/{name}": 0.1234 for name in ("accuracy", "tar_far_1e_2", "tar_far_1e_3", "eer", "cmc_1")
    }
    groups = group_records([record(seed=seed, metrics=metrics) for seed in range(3)])
    text = shown(rich_table(groups, list(metrics)), width=80)
    assert text.count("12.34") == 5
    assert text.count("0.00") == 5


def test_metrics_are_chosen_by_name_and_a_wrong_name_is_refused(record: MakeRecord) -> None:
    runs = [record(metrics={"test/eer": 0.1, "val/auc": 0.9})]
    assert choose_metrics(runs, ["eer", "val/auc"]) == ["test/eer", "val/auc"]
    assert choose_metrics(runs) == ["test/eer"]
    with pytest.raises(ValueError, match="no record has test/err; there are: test/eer, val/auc"):
        choose_metrics(runs, ["err"])


def test_the_csv_table_reads_back_with_full_precision(record: MakeRecord) -> None:
    runs = [record(seed=seed, metrics={"test/eer": value}) for seed, value in enumerate([0.1, 0.2, 1 / 3])]
    (row,) = csv.DictReader(io.StringIO(table_csv(group_records(runs), ["test/eer"])))
    value = group_records(runs)[0].estimate("test/eer")
    assert float(row["test/eer_mean"]) == value.mean
    assert (float(row["test/eer_ci95_low"]), float(row["test/eer_ci95_high"])) == value.interval
    assert (row["n"], row["test/eer_n"], row["knobs"]) == ("3", "3", "m=0.35 s=30")


def test_one_seed_leaves_the_interval_columns_blank(record: MakeRecord) -> None:
    (row,) = csv.DictReader(io.StringIO(table_csv(group_records([record()]), ["test/eer"])))
    assert (row["test/eer_ci95_low"], row["test/eer_ci95_high"], row["test/eer_n"]) == ("", "", "1")


def test_the_csv_of_runs_has_every_run_and_every_fact(record: MakeRecord) -> None:
    runs = [record(seed=1), record(seed=0), record("linear", metrics={"test/nll": None})]
    rows = list(csv.DictReader(io.StringIO(runs_csv(group_records(runs)))))
    assert [(row["head"], row["seed"]) for row in rows] == [
        ("amsoftmax", "0"),
        ("amsoftmax", "1"),
        ("linear", "0"),
    ]
    assert rows[0]["id"] == runs[1].id
    assert (rows[0]["knob/m"], rows[2]["knob/m"], rows[2]["test/nll"]) == ("0.35", "", "")
    assert (rows[0]["cost/seconds"], rows[0]["environment/threads"]) == ("90.0", "2")


def test_csv_text_does_not_depend_on_the_order_of_the_runs(record: MakeRecord) -> None:
    runs = [record(head, seed) for head in ("linear", "amsoftmax") for seed in range(3)]
    forward, backward = group_records(runs), group_records(runs[::-1])
    assert runs_csv(forward) == runs_csv(backward)
    assert table_csv(forward, ["test/eer"]) == table_csv(backward, ["test/eer"])


def test_a_name_is_no_formula_in_a_spreadsheet(record: MakeRecord) -> None:
    strange = record(details=record().details | {"dataset": '=HYPERLINK("x")'})
    (row,) = csv.DictReader(io.StringIO(runs_csv(group_records([strange]))))
    assert row["dataset"] == '\'=HYPERLINK("x")'


def test_a_run_ends_with_its_metrics_and_where_to_look(record: MakeRecord, tmp_path: Path) -> None:
    metrics = {"test/accuracy": 0.9, "test/tar_far_1e_3": 0.6, "test/tar_far_1e_6": None, "test/cmc_1": 0.7}
    run = record(metrics=metrics, intervals={"test/cmc_1": {"low": 0.6, "high": 0.8}})
    run.details["test/tar_far_1e_3"] = {"achieved_far": 0.00098, "threshold": 0.4123, "impostors": 12345}
    run.details["test/verification"] = {"genuine_pairs": 678, "impostor_pairs": 12345}
    (tmp_path / "figures").mkdir()
    (tmp_path / "wandb").mkdir()
    text = shown(run_summary(run, tmp_path))
    for part in (
        "closed-set", "verification", "identification", "cost", "60.00 %", "60.00 to 80.00", "TAR@FAR=1e-6",
        "FAR 0.00098, threshold 0.412", "undefined: too few impostors",
        "genuine pairs 678, impostor pairs 12,345",
        str(tmp_path / "figures"), f"lossbench.report {tmp_path}", f"wandb leet {tmp_path / 'wandb'}",
    ):  # fmt: skip
        assert part in text


def test_reasons_to_doubt_the_numbers_stand_below_them_with_the_names_of_the_table(
    record: MakeRecord,
) -> None:
    run = record(metrics={"test/tar_far_1e_3": 0.6})
    run.details["cautions"] = ["tar_far_1e_3: rests on 3.0 false accepts", "rows that are zero: 2"]
    text = shown(run_summary(run, "runs/x"))
    assert "warning  TAR@FAR=1e-3: rests on 3.0 false accepts\n" in text
    assert "warning  rows that are zero: 2\n" in text


def test_a_reason_that_several_metrics_share_is_told_once(record: MakeRecord) -> None:
    names = ("tar_far_1e_5", "tar_far_1e_6", "macro/tar_far_1e_6")
    run = record(metrics=dict.fromkeys([f"test/{name}" for name in names]))
    run.details["undefined"]["test/tar_far_1e_5"] = "another"
    text = shown(run_summary(run, "runs/x"))
    assert text.count("too few impostors") == 1
    assert "undefined, as TAR@FAR=1e-6" in text
    assert "undefined: another" in text


def test_a_summary_fits_into_80_columns_with_values_and_intervals_whole(record: MakeRecord) -> None:
    metrics = {f"test/{name}": 0.1234 for name in ("macro/tar_far_1e_3", "dir_far_1e_2", "pair_accuracy")}
    intervals = {name: {"low": 0.1, "high": 0.1357} for name in metrics}
    run = record(metrics=metrics, intervals=intervals)
    run.details["test/ijb_verification"] = {
        "flags": "N1D1F1",
        "templates": 23124,
        "per_trial": [1],
        "more": {},
    }
    lines = shown(run_summary(run, "runs/x"), width=80).splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert sum("10.00 to 13.57" in line for line in lines) == 3
    text = " ".join(" ".join(lines).split())
    assert "flags N1D1F1, templates 23,124" in text
    assert "per trial" not in text


def test_a_sweep_ends_with_its_table_and_every_failed_job(record: MakeRecord) -> None:
    text = shown(sweep_summary([record()], [("m=-3", "m=-3: must lie in [0, 1)"), ("m=x", "not a number")]))
    assert "amsoftmax" in text
    assert "2 failed jobs:" in text
    assert "m=-3: m=-3: must lie in [0, 1)" in text
    assert "no runs" in shown(sweep_summary([], []))


def test_the_rows_of_an_experiment_are_named_where_there_are_any(record: MakeRecord) -> None:
    named = record(config=record().config | {"row": "amsoftmax_035"})
    groups = group_records([named, record("linear")])
    header, rows = table_cells(groups, [])
    assert (header[0], [row[0] for row in rows]) == ("row", ["amsoftmax_035", ""])
    assert [row["row"] for row in csv.DictReader(io.StringIO(table_csv(groups, [])))] == ["amsoftmax_035", ""]
    without = group_records([record()])
    assert "row" not in table_cells(without, [])[0]
    assert not table_csv(without, []).startswith("row,")
