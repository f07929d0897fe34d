"""The columns of Table 3.1 in small: which of our metrics stand for those printed, and their names."""

from __future__ import annotations

from lossbench.report.names import pretty_name

COLUMNS = {
    "lfw": ("test/view2/pair_accuracy", "pairs in folds"),
    "tar_far_1e_4": ("test/trials/tar_far_1e_4_mean", "TAR@FAR=1e-4"),
    "tar_far_1e_3": ("test/trials/tar_far_1e_3_mean", "TAR@FAR=1e-3"),
    "dir_far_1e_2": ("test/trials/dir_far_1e_2_mean", "DIR@FAR=1e-2"),
    "rank1": ("test/ladder/cmc_1", "rank-1, all distractors"),
    "tar_far_1e_6": ("test/ladder/tar_far_1e_6", "TAR@FAR=1e-6, distractors"),
}
"""Printed column -> our metric, and what it is called. rank1 is printed nowhere: see X-00."""

ENDPOINTS = tuple(COLUMNS[name][0] for name in ("tar_far_1e_4", "dir_far_1e_2", "rank1", "tar_far_1e_6"))

CHANCE = (
    "chance is that of seeds and, where an interval says so, of the test identities; galleries, trials and "
    "distractors are the same in every run."
)


def called(metric: str) -> str:
    """What a metric is called in tables and figures."""
    return dict(COLUMNS.values()).get(metric) or pretty_name(metric)
