"""What the tests of every section need: its claims, and whether one comes out as written."""

from __future__ import annotations

import pytest

from lossbench.chapter.claim import NOT_RUN, Claim, examine
from lossbench.chapter.orderings import NOT_RESOLVED


def every_claim(module, slow=(), without=()):
    """Parametrise a test by the claims of a module, ``without`` some; ``slow`` ones take seconds."""
    claims = [value for value in vars(module).values() if isinstance(value, Claim)]
    return pytest.mark.parametrize(
        "claim",
        [
            pytest.param(claim, id=claim.id, marks=[pytest.mark.slow] if claim.id in slow else [])
            for claim in claims
            if claim.id not in without
        ],
    )


def comes_out(claim):
    found = examine(claim)
    assert found.work.failed == []
    assert found.verdict.split(":")[0] == claim.verdict


def stays_open(claim):
    """One seed decides nothing, and every cell says so."""
    found = examine(claim)
    assert found.verdict == NOT_RESOLVED
    assert all("1 seed: three are needed" in cell for cell in found.work.measured)


def names_the_sweep(claim, told):
    found = examine(claim)
    assert found.verdict == NOT_RUN
    assert told in found.reason


def fails(claim):
    """What did not come out, with the verdict that then stands."""
    found = examine(claim)
    assert found.work.failed
    assert found.verdict == claim.otherwise
    return found.work.failed
