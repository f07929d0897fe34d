"""Published rules: which metrics, from which pairs or galleries, under which names."""

from lossbench.protocols.blufr import blufr
from lossbench.protocols.blufr_trials import draw_trials
from lossbench.protocols.classification import classification, unclassified
from lossbench.protocols.evaluation import Evaluation, joined
from lossbench.protocols.identification import identification
from lossbench.protocols.ijb import ijb_identification, ijb_verification
from lossbench.protocols.lfw import lfw
from lossbench.protocols.megaface import megaface
from lossbench.protocols.miniature import miniature
from lossbench.protocols.pair_folds import PairFolds, draw_pairs
from lossbench.protocols.resampled import drawn_identities, identity_intervals
from lossbench.protocols.verification import verification

__all__ = [
    "Evaluation",
    "PairFolds",
    "blufr",
    "classification",
    "draw_pairs",
    "draw_trials",
    "drawn_identities",
    "identification",
    "identity_intervals",
    "ijb_identification",
    "ijb_verification",
    "joined",
    "lfw",
    "megaface",
    "miniature",
    "unclassified",
    "verification",
]
