"""torchmetrics.Metric around lossbench.functional."""

from lossbench.metrics.cmc import CMC
from lossbench.metrics.verification_roc import VerificationROC

__all__ = ["CMC", "VerificationROC"]
