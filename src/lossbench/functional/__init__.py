"""Exact evaluation as pure functions of tensors: definitions, ties and edge cases live here."""

from lossbench.functional.classification import Calibration, calibration, log_confidence, target_rank
from lossbench.functional.cmc import CmcCurve, cmc_curve, rank_at
from lossbench.functional.hardest import HardPairs
from lossbench.functional.open_set import DirAtFar, OpenSetCurve, dir_at_far, open_set_curve
from lossbench.functional.pairs import pair_roc
from lossbench.functional.roc import RocCounts, RocCurve, roc_curve
from lossbench.functional.roc_summary import (
    FARS,
    RocPoints,
    TarAtFar,
    area_under_curve,
    equal_error_rate,
    far_name,
    tar_at_far,
    thin,
)
from lossbench.functional.temperature import fit_temperature
from lossbench.functional.verification import PairVerification, VerificationPoint, pair_verification

__all__ = [
    "FARS",
    "Calibration",
    "CmcCurve",
    "DirAtFar",
    "HardPairs",
    "OpenSetCurve",
    "PairVerification",
    "RocCounts",
    "RocCurve",
    "RocPoints",
    "TarAtFar",
    "VerificationPoint",
    "area_under_curve",
    "calibration",
    "cmc_curve",
    "dir_at_far",
    "equal_error_rate",
    "far_name",
    "fit_temperature",
    "log_confidence",
    "open_set_curve",
    "pair_roc",
    "pair_verification",
    "rank_at",
    "roc_curve",
    "tar_at_far",
    "target_rank",
    "thin",
]
