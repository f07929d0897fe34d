"""Options of a generated data set, hashed into its identity."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping


def digest_of(**facts: object) -> str:
    """Sha256 (hex) of facts that json can write; their order does not matter.

    >>> digest_of(a=1, b=2) == digest_of(b=2, a=1)
    True
    """
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def generated_fingerprint(source: object, revision: int, options: Mapping[str, object]) -> str:
    """Identity of a set that its class, a hand-raised revision and its options determine."""
    return digest_of(source=type(source).__name__, revision=revision, options=dict(options))


def divided_fingerprint(division: object, **facts: object) -> str:
    """Identity of a set of files: what decides its rows, and the division that gives them roles."""
    return digest_of(**facts, division=type(division).__name__, options=vars(division))
