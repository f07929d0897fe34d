import pytest
import torch

from lossbench.functional.cosine import CosineBlock, UnitRows
from lossbench.functional.screening import (
    float32_products_hold,
    rescored,
    scaled,
    scaling_error,
    screening_error,
)


def exact(rows):
    unit = UnitRows(rows)
    left = unit.take(torch.arange(len(rows)))
    return left, CosineBlock(len(rows), rows.device)(left, left).clone()


def summed_one_by_one(rows):
    """The worst order: one running float32 sum, products rounded before they are added."""
    total = torch.zeros(len(rows), len(rows))
    for column in rows.T:
        total = total + column.unsqueeze(1) * column.unsqueeze(0)
    return total


@pytest.mark.parametrize("d", [1, 2, 3, 17, 512, 2000])
@pytest.mark.parametrize("kind", ["normal", "equal", "one sided", "falling"])
def test_no_order_of_summation_leaves_the_bound(d, kind):
    rows = torch.randn(40, d, generator=torch.Generator().manual_seed(d))
    if kind == "equal":
        rows = 1 + 1e-3 * rows
    if kind == "one sided":
        rows = rows.abs()
    if kind == "falling":
        rows = rows.abs() * 0.98 ** torch.arange(d)
    left, score = exact(rows)
    for product in (left.float() @ left.float().T, summed_one_by_one(left.float())):
        assert (product.double() - score.double()).abs().max() <= screening_error(d)


def test_the_bound_is_not_idle():
    """Sums that all round one way come within a tenth of it."""
    rows = torch.full((2, 4000), 1.0)
    left, score = exact(rows)
    assert (summed_one_by_one(left.float()).double() - score.double()).abs().max() > screening_error(
        4000
    ) / 10


def test_rows_too_long_for_a_bound_have_none():
    assert screening_error(2**20) == float("inf")


def test_a_setting_that_cuts_products_to_bf16_is_noticed():
    assert float32_products_hold(torch.device("cpu"))
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        rows = torch.full((512, 512), 1 + 2.0**-12)
        cut = float((rows @ rows.T).amax()) == 512
        assert float32_products_hold(torch.device("cpu")) != cut
    finally:
        torch.set_float32_matmul_precision(before)


def test_pairs_are_scored_by_the_definition():
    rows = torch.randn(3000, 5, generator=torch.Generator().manual_seed(0))
    first = torch.arange(3000)
    score = exact(rows)[1]
    assert torch.equal(
        rescored(UnitRows(rows), first, UnitRows(rows), first.flip(0)), score[first, first.flip(0)]
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("d", [1, 3, 512])
def test_scaled_rows_are_within_their_bound_of_the_fixed_point_vectors(dtype, d):
    rows = torch.randn(200, d, generator=torch.Generator().manual_seed(0)).to(dtype)
    rows[:50] *= torch.logspace(-3, 3, 50).to(dtype).unsqueeze(1)
    rows[50] = 0
    unit = UnitRows(rows)
    every = torch.arange(200)
    distance = (scaled(unit, every).double() - unit.take(every)).norm(dim=1)
    assert distance.max() <= scaling_error(d)
    assert torch.equal(scaled(unit), scaled(unit, every))
