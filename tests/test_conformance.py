"""Our losses beside other implementations: where they agree, where they differ, and by how much."""

from __future__ import annotations

import csv
import math
import warnings
from functools import cache, partial
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

pml = pytest.importorskip("pytorch_metric_learning.losses")

from conformance import cells  # noqa: E402
from peers import COMPARISONS, formulas  # noqa: E402
from peers.measure import measure, pml_loss, scored, whole_difference  # noqa: E402

from lossbench import heads, margins  # noqa: E402
from lossbench.embedding_losses import info_nce_loss, sup_con_loss  # noqa: E402
from lossbench.fusion import fuse  # noqa: E402
from lossbench.losses import cross_entropy_loss  # noqa: E402
from tests.conformance_rows import ROWS  # noqa: E402

# pytorch-metric-learning hands tensors to scipy.
pytestmark = pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")

TABLE = Path(__file__).resolve().parents[1] / "results" / "conformance" / "table.csv"
ARC = {"s": 64.0, "m": 0.5}
MARGIN = partial(margins.additive_angle, m=0.5)
CROSS_ENTROPY = partial(cross_entropy_loss, tau=1.0)


@cache
def built():
    return [make() for make in COMPARISONS]


def pairs(condition=lambda other: True):
    return [
        pytest.param(comparison, other, id=f"{comparison.name}-{other.name}")
        for comparison in built()
        for other in comparison.others
        if condition(other)
    ]


def draw(n, d=8, classes=6):
    generator = torch.Generator().manual_seed(1)
    lengths = torch.rand(n, 1, generator=generator, dtype=torch.float64) * 30
    x = F.normalize(torch.randn(n, d, generator=generator, dtype=torch.float64)) * lengths
    return x, torch.randint(classes, (n,), generator=generator)


def gradients(loss, *tensors):
    return torch.autograd.grad(loss.sum(), tensors)


@pytest.mark.parametrize(("comparison", "other"), pairs())
def test_every_ratio_is_what_the_two_formulas_say(comparison, other):
    expected = ROWS.get((comparison.name, other.name), lambda c: (1, 1))
    within = 1e-6 if comparison.dtype == torch.float64 else 1e-4
    for found in zip(*cells(comparison, other), strict=True):
        for cell, ratio in zip(found, expected(found[0].cosine), strict=True):
            shown = str(cell) if isinstance(ratio, str) else cell.ratio
            wanted = ratio if isinstance(ratio, str) else pytest.approx(ratio, rel=within)
            assert shown == wanted, (cell.quantity, cell.cosine)


def test_no_expected_row_is_without_its_comparison():
    assert ROWS.keys() <= {
        (comparison.name, other.name) for comparison in built() for other in comparison.others
    }


@pytest.mark.parametrize(("comparison", "other"), pairs(lambda other: other.whole))
def test_from_embeddings_on_losses_and_gradients_are_equal(comparison, other):
    assert whole_difference(*other.whole, centers=other.centers) < 1e-12


@pytest.mark.skipif(not TABLE.exists(), reason="results/ is not part of a source distribution")
def test_the_committed_table_is_what_the_code_gives():
    with TABLE.open(encoding="utf-8", newline="") as file:
        written = list(csv.DictReader(file))
    rows = [row for comparison in built() for other in comparison.others for row in cells(comparison, other)]
    for line, cell in zip(written, [cell for row in rows for cell in row], strict=True):
        assert (line["loss"], line["other"], line["quantity"]) == (cell.comparison, cell.other, cell.quantity)
        numbers = [float(line[name]) for name in ("target_cosine", "ours", "theirs")]
        found = (cell.cosine, cell.ours, cell.theirs)
        assert numbers == pytest.approx(found, rel=1e-4, abs=1e-9, nan_ok=True)


@pytest.mark.parametrize(("cosine", "factor"), [(0.3, 1.03), (0.9, 1.87), (0.99, 4.24)])
def test_the_gradient_of_insightfaces_arcface_lacks_a_factor(cosine, factor):
    head = heads.CosineHead(2, 6, MARGIN, s=64.0)
    ours = measure(lambda c, y: CROSS_ENTROPY(head.untrained_scores(c, y), y), cosine)
    theirs = measure(scored(formulas.insightface, s=64.0, m1=1.0, m2=0.5, m3=0.0), cosine)
    assert ours[0] == pytest.approx(theirs[0])
    assert round(ours[1] / theirs[1], 2) == factor


def test_insightface_reads_no_other_margin_beside_m3_and_refuses_an_m1_without_it():
    cosine, target = torch.rand(4, 6) * 2 - 1, torch.arange(4)
    first, second, third = (
        formulas.insightface(cosine, target, s=64.0, m1=m1, m2=m2, m3=0.2)
        for m1, m2 in ((1.0, 0.3), (1.2, 0.4), (1.0, 0.0))
    )
    assert torch.equal(first, second)
    assert torch.equal(first, third)
    ours = margins.combined(cosine, target, m1=1.2, m2=0.4, m3=0.2)
    assert not torch.allclose(64 * ours, second, atol=1)
    with pytest.raises(RuntimeError, match="no rule"):
        formulas.insightface(cosine, target, s=64.0, m1=1.2, m2=0.0, m3=0.0)


def assert_theirs_is_nan_and_ours_finite(theirs, head, x, w, target):
    theirs.W, head.weight = torch.nn.Parameter(w.T.clone()), torch.nn.Parameter(w.clone())
    assert all(g.isnan().any() for g in gradients(theirs(x, target), x, theirs.W))
    fused = fuse(head, CROSS_ENTROPY)
    loss = fused(x, target) if fused else CROSS_ENTROPY(head(x, target), target)
    assert all(g.isfinite().all() for g in gradients(loss, x, head.weight))


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_on_a_prototype_and_opposite_to_it_pmls_arcface_is_nan_and_ours_is_finite(side):
    axes = torch.eye(6, dtype=torch.float64)
    theirs = pml.ArcFaceLoss(num_classes=6, embedding_size=6)
    head = heads.CosineHead(6, 6, MARGIN, s=64.0)
    x = (side * axes).requires_grad_()
    assert_theirs_is_nan_and_ours_finite(theirs, head, x, axes, torch.arange(6))


def test_on_a_sub_centre_pmls_sub_center_arcface_is_nan_and_ours_is_finite():
    axes = torch.eye(6, dtype=torch.float64)
    theirs = pml.SubCenterArcFaceLoss(num_classes=2, embedding_size=6, sub_centers=3)
    head = heads.SubCenterHead(6, 2, MARGIN, s=64.0, k=3, drop_angle=1.3, drop_after=None).double()
    x = axes.clone().requires_grad_()
    assert_theirs_is_nan_and_ours_finite(theirs, head, x, axes, torch.arange(6) // 3)


@pytest.mark.parametrize(
    "rule",
    [
        partial(formulas.oml_arcface, **ARC),
        partial(formulas.facexzoo_arcface, **ARC),
        partial(formulas.magface, s=64.0, m=torch.tensor(0.5), easy=False),
    ],
)
def test_a_rival_at_cosine_1_is_nan_in_full_matrix_arcfaces_and_finite_in_ours(rule):
    target = torch.tensor([0])
    for scores, nan in ((rule, True), (lambda c, y: 64 * margins.additive_angle(c, y, m=0.5), False)):
        cosine = torch.tensor([[0.3, 1.0, 0.1]], dtype=torch.float64, requires_grad=True)
        (gradient,) = gradients(CROSS_ENTROPY(scores(cosine, target), target), cosine)
        assert gradient.isnan().tolist() == [[False, nan, False]]


def test_rounding_above_cosine_1_is_nan_in_oml_without_slope_where_clamped_and_neither_in_ours():
    cosine, target = torch.tensor([[1.0000001, 0.2]], requires_grad=True), torch.tensor([0])
    assert formulas.oml_arcface(cosine, target, **ARC).isnan().any()
    for rule in (
        partial(formulas.facexzoo_am_softmax, s=30.0, m=0.35),
        partial(formulas.insightface, s=30.0, m1=1.0, m2=0.0, m3=0.35),
    ):
        assert gradients(rule(cosine, target)[0, 0], cosine)[0].tolist() == [[0, 0]]
    for margin in (margins.additive_angle, margins.additive_cosine):
        (gradient,) = gradients(margin(cosine, target, m=0.35)[0, 0], cosine)
        assert gradient[0, 0] > 0.9


def test_adafaces_arcface_has_no_gradient_past_pi_minus_m_and_ours_the_full_one():
    cosine = torch.linspace(-0.9998, -0.8777, 200, dtype=torch.float64)[:, None].requires_grad_()
    target = torch.zeros(200, dtype=torch.long)
    assert not gradients(formulas.adaface_arcface(cosine, target, **ARC), cosine)[0].any()
    (ours,) = gradients(margins.additive_angle(cosine, target, m=0.5), cosine)
    assert (ours == 1).all()


def test_adafaces_mean_and_deviation_of_norms_are_equal_over_batches_and_one_sample_alone_ends_theirs():
    head = heads.AdaFaceHead(8, 6, m=0.4, h=0.333, alpha=0.01, s=64.0).double()
    mean, std = head.norm_mean.clone(), head.norm_std.clone()
    x, target = draw(21)
    for rows, labels in zip(x.split(7), target.split(7), strict=True):
        head(rows, labels)
        mean, std = formulas.adaface_statistics(rows.norm(dim=1), mean, std, alpha=0.01)
        assert (head.norm_mean.item(), head.norm_std.item()) == pytest.approx((mean.item(), std.item()))
    loss = CROSS_ENTROPY(head(x[:1], target[:1]), target[:1])
    with warnings.catch_warnings(action="ignore"):
        std = formulas.adaface_statistics(x[:1].norm(dim=1), mean, std, alpha=0.01)[1]
    assert std.isnan()
    assert loss.isfinite().all()
    assert head.norm_std.isfinite()


def test_the_scale_of_adacos_is_facexzoos_over_batches():
    head, scale = heads.AdaCosHead(8, 6).double(), math.sqrt(2) * math.log(5)
    x, target = draw(21)
    for rows, labels in zip(x.split(7), target.split(7), strict=True):
        head(rows, labels)
        scale = formulas.adacos_scale(head.cosine(rows), labels, scale, median_of_all=False).item()
        assert head.adapted.item() == pytest.approx(scale, rel=1e-6)


def test_t_of_curricularface_follows_the_mean_target_cosine_before_the_batch_is_scored():
    head = heads.CurricularFaceHead(8, 6, MARGIN, s=64.0).double()
    x, target = draw(21)
    t = 0.0
    for rows, labels in zip(x.split(7), target.split(7), strict=True):
        cosine = head.cosine(rows)
        t = 0.01 * formulas.own(cosine, labels).mean().item() + 0.99 * t
        theirs = formulas.curricularface(cosine, labels, t=t, **ARC)
        assert torch.allclose(head(rows, labels), theirs, rtol=1e-9)


def test_pml_takes_arcfaces_margin_in_degrees():
    cosine, target = draw(6, d=6)[0][:1] / 30, torch.tensor([2])
    ours = 64 * margins.additive_angle(cosine, target, m=math.radians(28.6))
    theirs = pml_loss(pml.ArcFaceLoss, scale=64, margin=28.6)(cosine, target)
    assert CROSS_ENTROPY(ours, target).item() == pytest.approx(theirs.item(), rel=1e-9)


def test_pml_cuts_a_multiplicative_margin_to_a_whole_number():
    cosine, target = draw(6, d=6)[0][:1] / 30, torch.tensor([2])
    cut, one = (pml_loss(pml.SphereFaceLoss, norm=10.0, margin=m)(cosine, target) for m in (1.5, 1))
    assert torch.equal(cut, one)


def test_the_mean_of_info_nce_is_over_samples_and_pmls_over_pairs():
    x, target = draw(7)[0], torch.tensor([0, 0, 0, 0, 1, 1, 2])
    values, pairs_of_each = info_nce_loss(x, target, tau=0.07), torch.tensor([3, 3, 3, 3, 1, 1, 0])
    theirs = pml.NTXentLoss(temperature=0.07)(x, target)
    assert theirs.item() == pytest.approx((values @ pairs_of_each.double() / 14).item(), rel=1e-9)
    assert theirs.item() != pytest.approx(values.mean().item(), rel=1e-2)


def test_pmls_sup_con_leaves_out_a_sample_without_a_positive_and_a_batch_of_one_class():
    x, loss = draw(7)[0], pml.SupConLoss(temperature=0.1)
    values = sup_con_loss(x, target := torch.tensor([0, 0, 0, 0, 1, 1, 2]), tau=0.1)
    assert loss(x, target).item() == pytest.approx(values.sum().item() / 6, rel=1e-9)
    assert values[-1] == 0
    alone = torch.zeros(7, dtype=torch.long)
    assert loss(x, alone).item() == 0
    assert sup_con_loss(x, alone, tau=0.1).min() > 0
