"""Differences to a baseline, paired by seed and by test identity."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ttest_rel

from lossbench.records import RecordError, read_replicates, write_arrays, write_record, write_replicates
from lossbench.report.__main__ import main
from lossbench.report.comparison import (
    compare,
    find_baseline,
    gaps_between,
    group_names,
    read_people,
    replicate_arrays,
)
from lossbench.report.groups import group_records

from .conftest import make_record

METRIC = "test/tar_far_1e_3"
LINEAR, MARGIN = [0.70, 0.72, 0.69, 0.71], [0.74, 0.755, 0.74, 0.75]


def groups(people=0.0):
    """Two heads on four seeds; people: sd of the difference over resampled test identities."""
    records = [
        make_record(head, seed, metrics={METRIC: value})
        for head, values in (("linear", LINEAR), ("amsoftmax", MARGIN))
        for seed, value in enumerate(values)
    ]
    margin, linear = group_records(records)
    if people:
        generator = np.random.default_rng(0)
        shared = generator.normal(0.7, 0.1, 400)
        linear.replicates[METRIC] = shared
        margin.replicates[METRIC] = shared + generator.normal(0.04, people, 400)
    return margin, linear


def only_gap(margin, linear):
    (gap,) = compare([margin, linear], [linear], [METRIC])["glyphs"]
    return gap


def test_without_replicates_it_is_the_paired_t_test_over_seeds():
    gap = only_gap(*groups())
    expected = ttest_rel(MARGIN, LINEAR)
    low, high = expected.confidence_interval()
    assert gap.difference[:3] == pytest.approx((np.mean(np.subtract(MARGIN, LINEAR)), low, high))
    assert gap.difference.p == pytest.approx(expected.pvalue)
    assert (gap.difference.above, gap.difference.seeds, gap.metric) == (4, 4, METRIC)


def test_what_both_share_on_other_identities_cancels_and_what_they_do_not_widens():
    seeds, alike, apart = (only_gap(*groups(people)).difference for people in (0, 1e-6, 0.03))
    assert alike[1:3] == pytest.approx(seeds[1:3], abs=1e-5)
    assert apart.high - apart.low > 2 * (seeds.high - seeds.low)
    assert apart.high - apart.low == pytest.approx(2 * 1.97 * 0.03, rel=0.15)
    assert seeds.p < 0.05 < apart.p


def test_two_seeds_in_common_tell_nothing():
    margin, linear = groups()
    del margin.runs[:2]
    assert compare([margin, linear], [linear], [METRIC]) == {}


def test_p_is_adjusted_over_all_rows_of_a_data_set():
    margin, linear = groups()
    (twice,) = group_records(
        [make_record("cosine", seed, metrics={METRIC: value}) for seed, value in enumerate(MARGIN)]
    )
    found = compare([margin, twice, linear], [linear], [METRIC])["glyphs"]
    alone = only_gap(margin, linear).difference.p
    assert [gap.difference.p for gap in found] == pytest.approx([2 * alone, 2 * alone])
    elsewhere = group_records(
        [
            replace(record, id=f"lfw-{record.id}", details=record.details | {"dataset": "lfw"})
            for group in (margin, linear)
            for record in group.runs
        ]
    )
    both = compare([margin, linear, *elsewhere], [linear, elsewhere[1]], [METRIC])
    assert {task: [gap.difference.p for gap in gaps] for task, gaps in both.items()} == {
        "glyphs": [alone],
        "lfw": [alone],
    }


def test_replicates_of_another_number_are_no_pairs():
    margin, linear = groups(0.01)
    linear.replicates[METRIC] = linear.replicates[METRIC][:200]
    assert gaps_between(margin, linear, METRIC).people == ()
    assert replicate_arrays([margin, linear], [METRIC]) == {}


def test_two_rows_of_one_name_go_by_their_labels():
    margin, linear = groups()
    for group in (margin, linear):
        group.runs[:] = [replace(run, config={**run.config, "row": "mine"}) for run in group.runs]
    assert group_names([margin]) == ["mine"]
    assert group_names([margin, linear]) == ["amsoftmax m=0.35 s=30", "linear"]


def test_an_unknown_baseline_is_refused_with_the_names_there_are():
    with pytest.raises(ValueError, match=r"'softmax'; there are: amsoftmax m=0\.35 s=30, linear"):
        find_baseline(groups(), "softmax")


def test_the_command_writes_the_page_and_the_mean_replicates(tmp_path: Path, capsys):
    for head, values in (("linear", LINEAR), ("amsoftmax", MARGIN)):
        for seed, value in enumerate(values):
            folder = tmp_path / f"{head}-{seed}"
            write_record(folder, make_record(head, seed, metrics={METRIC: value, "test/eer": 0.1}))
            write_replicates(folder, {METRIC: np.full(300, value) + np.linspace(-0.1, 0.1, 300)})
    arguments = [str(tmp_path), "--no-figures", "--metrics", "tar_far_1e_3"]
    assert main([*arguments, "--baseline", "linear"]) == 0
    assert "Chance in whom the test draws is not in the ±" in (tmp_path / "report/table.md").read_text()
    page = (tmp_path / "report/comparison.md").read_text()
    expected = ttest_rel(MARGIN, LINEAR)
    low, high = (f"{100 * end:+.2f}" for end in expected.confidence_interval())
    chance = f"{low} to {high} | seeds and test identities | 4 of 4 | {expected.pvalue:.2g} | resolved |"
    assert f"| amsoftmax m=0.35 s=30 | TAR@FAR=1e-3 | +4.13 | {chance}" in page
    people = read_people(tmp_path / "report/identities.npz")
    assert len(people) == 8
    for head, values in (("linear", LINEAR), ("amsoftmax", MARGIN)):
        for seed in range(4):
            found = people[make_record(head, seed).id]
            assert found.values.keys() == {METRIC}
            assert found.values[METRIC].shape == (300,)
            assert found.values[METRIC].mean() == pytest.approx(np.mean(values))
    assert read_people(tmp_path / "absent.npz") == {}
    assert read_replicates(tmp_path) == {}
    with pytest.raises(SystemExit, match="2"):
        main([*arguments, "--baseline", "softmax"])
    assert "--baseline: no row is called 'softmax'" in capsys.readouterr().err


def test_runs_that_draw_other_people_each_leave_chance_to_the_seeds(tmp_path: Path) -> None:
    for head, values in (("linear", LINEAR), ("amsoftmax", MARGIN)):
        for seed, value in enumerate(values):
            folder = tmp_path / f"{head}-{seed}"
            run = make_record(head, seed, metrics={METRIC: value})
            run.config["protocol"] = {"seed": seed}  # protocol.seed='${seed}'
            write_record(folder, run)
            write_replicates(folder, {METRIC: np.full(300, value) + np.linspace(-0.1, 0.1, 300)})
    arguments = [str(tmp_path), "--no-figures", "--metrics", "tar_far_1e_3", "--baseline", "linear"]
    assert main(arguments) == 0
    assert " | seeds | 4 of 4 | " in (tmp_path / "report/comparison.md").read_text()


def test_an_undefined_replicate_leaves_chance_to_the_seeds(tmp_path: Path) -> None:
    for head, values in (("linear", LINEAR), ("amsoftmax", MARGIN)):
        for seed, value in enumerate(values):
            folder = tmp_path / f"{head}-{seed}"
            write_record(folder, make_record(head, seed, metrics={METRIC: value}))
            write_replicates(folder, {METRIC: np.append(np.full(299, value), np.nan)})
    arguments = [str(tmp_path), "--no-figures", "--metrics", "tar_far_1e_3", "--baseline", "linear"]
    assert main(arguments) == 0
    assert " | seeds | 4 of 4 | " in (tmp_path / "report/comparison.md").read_text()
    assert not (tmp_path / "report/identities.npz").exists()


def test_files_of_an_earlier_report_that_this_one_does_not_write_are_gone(tmp_path: Path) -> None:
    for seed, value in enumerate(LINEAR):
        write_record(tmp_path / str(seed), make_record("linear", seed, metrics={METRIC: value}))
    stale = [tmp_path / "report" / name for name in ("comparison.md", "identities.npz")]
    stale[0].parent.mkdir()
    for path in stale:
        path.write_text("of another table")
    assert main([str(tmp_path), "--no-figures"]) == 0
    assert not any(path.exists() for path in stale)


def test_other_people_in_the_test_are_no_pairs() -> None:
    margin, linear = groups(0.01)
    assert len(gaps_between(margin, linear, METRIC).people) == 400
    margin.runs[0].split["roles"] = {"test": {"rows": 3, "identities": 2, "names": ["a", "b"]}}
    assert gaps_between(margin, linear, METRIC).people == ()


def test_whom_replicates_draw_is_kept_and_a_table_without_it_is_refused(tmp_path: Path) -> None:
    margin, linear = groups(0.01)
    margin.runs[0].split["roles"] = {"test": {"rows": 3, "identities": 2, "names": ["a", "b"]}}
    arrays = replicate_arrays([margin, linear], [METRIC])
    write_arrays(tmp_path / "identities.npz", arrays)
    found = read_people(tmp_path / "identities.npz")
    one, other = found[margin.runs[0].id], found[linear.runs[0].id]
    assert (one.identities, other.identities) == (2, 0)
    assert one.whom != other.whom
    del arrays["whom"]
    write_arrays(tmp_path / "identities.npz", arrays)
    with pytest.raises(RecordError, match="has no whom: make it again with the report"):
        read_people(tmp_path / "identities.npz")
