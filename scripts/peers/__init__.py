"""Other implementations of our losses, and what ours are held against: the parts of conformance.py."""

from peers.heads import HEADS
from peers.losses import LOSSES
from peers.margins import MARGINS

COMPARISONS = (*MARGINS, *HEADS, *LOSSES)

__all__ = ["COMPARISONS"]
