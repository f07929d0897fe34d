"""What other heads begin with, and that another scale or margin is caught."""

from __future__ import annotations

from functools import partial

from lossbench.chapter import initial_heads
from lossbench.heads import CosineHead
from tests.chapter.checking import comes_out, every_claim, fails


@every_claim(initial_heads)
def test_claims_come_out(claim):
    comes_out(claim)


def test_a_head_of_another_scale_is_caught(monkeypatch):
    monkeypatch.setitem(initial_heads.HEADS, "NormFace, s = 30", partial(CosineHead, s=25.0))
    assert any("NormFace" in told for told in fails(initial_heads.heads))
