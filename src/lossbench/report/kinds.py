"""What a metric's name tells: how people print it, which task it judges, and which way is better."""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

CLOSED_SET, VERIFICATION, IDENTIFICATION = "closed-set", "verification", "identification"


class Kind(NamedTuple):
    """pattern: of the metric's last word. printed: what people call it, with the pattern's groups.

    task: one of the three above. better: 1 for higher, -1 for lower, 0 for neither.
    rate: whether it is in [0, 1], and printed in percent.
    """

    pattern: str
    printed: str
    task: str
    better: int = 1
    rate: bool = True


_AT = r"((?:\d+_)?\d+e)_(\d+)"  # 1e_3 is 1e-3, 2_5e_3 is 2.5e-3

_KINDS = (
    Kind("accuracy", "accuracy", CLOSED_SET),
    Kind("accuracy_rare", "accuracy, rare classes", CLOSED_SET),
    Kind(r"accuracy_top(\d+)", r"top-\1 accuracy", CLOSED_SET),
    Kind("nll", "NLL", CLOSED_SET, better=-1, rate=False),
    Kind("nll_scaled", "NLL, scaled", CLOSED_SET, better=-1, rate=False),
    Kind("ece", "ECE", CLOSED_SET, better=-1),
    Kind("ece_scaled", "ECE, scaled", CLOSED_SET, better=-1),
    Kind("auc", "AUC", VERIFICATION),
    Kind("eer", "EER", VERIFICATION, better=-1),
    Kind(f"tar_far_{_AT}", r"TAR@FAR=\1-\2", VERIFICATION),
    Kind(f"realised_far_{_AT}", r"FAR realised for TAR@FAR=\1-\2", VERIFICATION, better=0),
    Kind("pair_accuracy", "pair accuracy", VERIFICATION),
    Kind("pair_accuracy_standard_error", "pair accuracy, standard error", VERIFICATION, better=0),
    Kind(r"cmc_(\d+)", r"rank-\1", IDENTIFICATION),
    Kind(r"cmc_(\d+)_distractors_(\d+)", r"rank-\1 of \2 distractors", IDENTIFICATION),
    Kind(f"dir_far_{_AT}", r"DIR@FAR=\1-\2", IDENTIFICATION),
    Kind(f"realised_dir_far_{_AT}", r"FAR realised for DIR@FAR=\1-\2", IDENTIFICATION, better=0),
    Kind(f"tpir_fpir_{_AT}", r"TPIR@FPIR=\1-\2", IDENTIFICATION),
)
# What became of several trials: ending, as printed, and whether better stays better.
_ENDINGS = (
    ("_mean_minus_std", ", mean - std", True),
    ("_mean", ", mean", True),
    ("_std", ", std", False),
    ("_max", ", highest", False),
)


@cache
def kind(metric: str) -> Kind | None:
    """What is known of ``metric``, its name filled in; None for a name of none of these kinds.

    >>> kind("test/trials/tar_far_1e_4_std")[1:]
    ('TAR@FAR=1e-4, std', 'verification', 0, True)
    """
    word, told, comparable = metric.rsplit("/", 1)[-1], "", True
    for ending, words, stays in _ENDINGS:
        if word.endswith(ending):
            word, told, comparable = word.removesuffix(ending), words, stays
            break
    for known in _KINDS:
        if match := re.fullmatch(known.pattern, word):
            printed = match.expand(known.printed).replace("_", ".") + told
            return known._replace(printed=printed, better=known.better * comparable)
    return None
