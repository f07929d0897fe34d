"""Every margin against its oracle, at cos = +-1 too."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from lossbench import margins
from tests.losses.cases import MARGINS

EDGES = [-1.0, 1.0, 0.0, 0.5, -0.5, 1 - 1e-7]


@pytest.fixture(params=MARGINS, ids=[f"{case.name}-{case.knobs}" for case in MARGINS])
def case(request):
    return request.param


@pytest.fixture
def margin(case):
    return partial(getattr(margins, case.function), **case.knobs)


def draw(dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    cosine = torch.rand(6, 4, generator=generator, dtype=torch.float64) * 1.8 - 0.9
    return cosine.to(dtype), torch.tensor([0, 3, 1, 2, 2, 0])


def test_values_equal_the_oracle_at_the_edges_too(case, margin):
    cosine, target = draw()
    cosine[:, 0] = torch.tensor(EDGES, dtype=torch.float64)
    expected = [
        case.oracle(row, y, **case.knobs) for row, y in zip(cosine.tolist(), target.tolist(), strict=True)
    ]
    changed = margin(cosine, target).tolist()
    for row, wanted in zip(changed, expected, strict=True):
        assert row == pytest.approx(wanted, abs=1e-12)


def test_gradients_pass_gradcheck(margin):
    cosine, target = draw()
    assert torch.autograd.gradcheck(lambda c: margin(c, target), cosine.requires_grad_())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_values_and_gradients_are_finite_at_plus_and_minus_one(margin, dtype):
    cosine = torch.tensor([[1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]], dtype=dtype, requires_grad=True)
    values = margin(cosine, torch.tensor([0, 0, 1]))
    values.sum().backward()
    assert torch.isfinite(values).all()
    assert torch.isfinite(cosine.grad).all()


def test_only_the_target_changes_and_the_input_is_left_alone(margin):
    cosine, target = draw()
    before = cosine.clone()
    changed = margin(cosine, target)
    others = torch.ones_like(cosine, dtype=torch.bool).scatter(1, target[:, None], False)
    assert torch.equal(changed[others], before[others])
    assert torch.equal(cosine, before)


def test_a_margin_works_on_the_column_of_target_cosines_alone(margin):
    cosine, target = draw()
    column = cosine.gather(1, target[:, None])
    assert torch.equal(
        margin(column, torch.zeros(6, dtype=torch.long)), margin(cosine, target).gather(1, target[:, None])
    )


@pytest.mark.parametrize("m", [-1, 1.0, 20, float("nan"), "abc"])
def test_a_bad_margin_is_named_with_its_value(m):
    cosine, target = draw()
    with pytest.raises(ValueError, match=rf"m={m}: must be a number in \[0, 1\)"):
        margins.additive_cosine(cosine, target, m=m)
