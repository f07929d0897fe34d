"""Published rules: which metrics, from which pairs or galleries, under which names."""

from lossbench.protocols.classification import classification, unclassified
from lossbench.protocols.evaluation import Evaluation, joined
from lossbench.protocols.identification import identification
from lossbench.protocols.verification import verification

__all__ = ["Evaluation", "classification", "identification", "joined", "unclassified", "verification"]
