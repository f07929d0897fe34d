"""Every margin against its oracle, at cos = +-1 too."""

from __future__ import annotations

import math
import re
from functools import partial

import pytest
import torch

from lossbench import margins
from tests.losses.cases import MARGINS

EDGES = [-1.0, 1.0, 0.0, 0.5, -0.5, 1 - 1e-7]
# A straight-through gradient is on purpose not that of the values.
EXACT = [case for case in MARGINS if case.name != "arcface_straight_through"]


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


@pytest.mark.parametrize("case", EXACT, ids=[f"{case.name}-{case.knobs}" for case in EXACT])
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


def angles(n=2001):
    return torch.linspace(0, math.pi, n, dtype=torch.float64)


def on_the_target(margin, cosine, **knobs):
    return margin(cosine[:, None], torch.zeros(len(cosine), dtype=torch.long), **knobs)[:, 0]


def test_no_margin_is_the_plain_cosine_whatever_its_kind():
    cosine, target = draw()
    for unchanged in (
        margins.additive_cosine(cosine, target, m=0.0),
        margins.additive_angle(cosine, target, m=0.0),
        margins.multiplicative_angle(cosine, target, m=1, lam=0.0),
        margins.combined(cosine, target, m1=1.0, m2=0.0, m3=0.0),
        margins.clipped_angle(cosine, target, m=1.0),
    ):
        assert torch.allclose(unchanged, cosine, atol=1e-15)


@pytest.mark.parametrize("m", [1, 2, 3, 4, 7])
def test_c_am_psi(m):
    """C-AM-psi: continuous, never increasing, from 1 to 1 - 2m, also where floor(m theta / pi) would be m."""
    psi = on_the_target(margins.multiplicative_angle, angles().cos(), m=m, lam=0.0)
    assert psi[0].item() == pytest.approx(1)
    assert psi[-1].item() == pytest.approx(1 - 2 * m)
    assert psi.diff().max() <= 1e-12
    assert psi.diff().abs().max() < 2 * m * math.pi / 2000


def test_x_07_slopes_at_ninety_degrees():
    """X-07: the slope of psi at 90 degrees is -1, 0, -3, 0 for m = 1 to 4, and -5/6 for m = 4, lambda = 5."""
    for m, lam, slope in ((1, 0, -1), (2, 0, 0), (3, 0, -3), (4, 0, 0), (4, 5, -5 / 6)):
        angle = torch.tensor([math.pi / 2], dtype=torch.float64, requires_grad=True)
        on_the_target(margins.multiplicative_angle, angle.cos(), m=m, lam=float(lam)).sum().backward()
        assert angle.grad.item() == pytest.approx(slope, abs=1e-9)


def test_c_am_agrad_greatest_slope():
    """C-AM-agrad: m at lambda = 0, and 1.44 for m = 4, lambda = 5."""
    for lam, steepest in ((0.0, 4.0), (5.0, 1.44)):
        angle = angles(20001).requires_grad_()
        on_the_target(margins.multiplicative_angle, angle.cos(), m=4, lam=lam).sum().backward()
        assert -angle.grad[1:-1].min().item() == pytest.approx(steepest, abs=0.005)


def boundary(margin, apart, **knobs):
    """Angle from the own prototype, in the plane of two prototypes, where both classes score alike."""
    low, high = 0.0, math.radians(apart)
    for _ in range(60):
        middle = torch.tensor([(low + high) / 2], dtype=torch.float64)
        own = on_the_target(margin, middle.cos(), **knobs).item()
        low, high = (
            (middle.item(), high) if own > math.cos(math.radians(apart) - middle) else (low, middle.item())
        )
    return math.degrees(low)


def test_c_am_3_3_planar_boundaries():
    """C-AM-3.3: prototypes 60, 90, 120 degrees apart; AM m=0.35, A-Softmax m=4 at lambda = 0 and 5."""
    for margin, knobs, expected in (
        (margins.additive_cosine, {"m": 0.35}, (9.51, 30.67, 48.34)),
        (margins.multiplicative_angle, {"m": 4, "lam": 0.0}, (12.0, 18.0, 24.0)),
        (margins.multiplicative_angle, {"m": 4, "lam": 5.0}, (21.66, 34.39, 50.53)),
    ):
        found = [boundary(margin, apart, **knobs) for apart in (60, 90, 120)]
        assert found == pytest.approx(expected, abs=0.005)


def largest_angle(margin, rival, **knobs):
    """Largest angle to the own prototype that still beats a rival prototype ``rival`` degrees away."""
    fine = angles(200001)
    wins = on_the_target(margin, fine.cos(), **knobs) >= math.cos(math.radians(rival))
    return math.degrees(fine[wins].max())


def test_c_am_numeric():
    """C-AM-thetamax, C-AM-numeric: 31.79 and 69.51 degrees for AM; 15 and 22.5, or 38.67 and 66.92, for A."""
    for margin, knobs, expected in (
        (margins.additive_cosine, {"m": 0.35}, (31.79, 69.51)),
        (margins.multiplicative_angle, {"m": 4, "lam": 0.0}, (15.0, 22.5)),
        (margins.multiplicative_angle, {"m": 4, "lam": 5.0}, (38.67, 66.92)),
    ):
        assert [largest_angle(margin, rival, **knobs) for rival in (60, 90)] == pytest.approx(
            expected, abs=0.01
        )


def test_the_arc_margin_turns_the_angle_with_its_exact_gradient():
    """The gradient on the cosine is sin(theta + m) / sin(theta): 1.03 at 0.3, 1.87 at 0.9, 4.24 at 0.99."""
    cosine = torch.tensor([0.3, 0.9, 0.99], dtype=torch.float64, requires_grad=True)
    on_the_target(margins.additive_angle, cosine, m=0.5).sum().backward()
    assert cosine.grad.tolist() == pytest.approx([1.03, 1.87, 4.24], abs=0.01)


def test_the_arc_margin_goes_on_falling_past_pi_minus_m():
    psi = on_the_target(margins.additive_angle, angles().cos(), m=0.5)
    assert psi.diff().max() < 0


def slopes(margin, cosine, **knobs):
    """Derivative of the target's margined cosine by the cosine itself."""
    cosine = torch.tensor(cosine, dtype=torch.float64, requires_grad=True)
    on_the_target(margin, cosine, **knobs).sum().backward()
    return cosine.grad.tolist()


def test_the_straight_through_arc_margin_has_the_exact_ones_values_and_slope_one():
    cosine = torch.tensor([-1.0, -0.95, -0.3, 0.3, 0.9, 0.99, 1.0], dtype=torch.float64)
    straight, exact = margins.additive_angle_straight_through, margins.additive_angle
    assert torch.equal(on_the_target(straight, cosine, m=0.5), on_the_target(exact, cosine, m=0.5))
    assert slopes(straight, cosine.tolist(), m=0.5) == [1.0] * 7


def test_combined_without_angles_is_the_additive_cosine():
    cosine, target = draw()
    expected = margins.additive_cosine(cosine, target, m=0.35)
    assert torch.allclose(margins.combined(cosine, target, m1=1.0, m2=0.0, m3=0.35), expected, atol=1e-14)


def test_combined_with_one_angle_is_the_additive_angle_as_far_as_that_falls():
    cosine = angles()[angles() <= math.pi - 0.5].cos()[1:]
    combined, arc = (
        (margins.combined, {"m1": 1.0, "m2": 0.5, "m3": 0.0}),
        (margins.additive_angle, {"m": 0.5}),
    )
    values = [on_the_target(margin, cosine, **knobs) for margin, knobs in (combined, arc)]
    assert torch.allclose(*values, atol=1e-14)
    gradients = [slopes(margin, cosine.tolist(), **knobs) for margin, knobs in (combined, arc)]
    assert gradients[0] == pytest.approx(gradients[1], rel=1e-9)


@pytest.mark.parametrize("m", [1, 2, 3, 4])
def test_combined_with_a_whole_multiple_is_a_softmax_to_the_last_degree(m):
    """Both ends too: value 1 and 1 - 2m, slope m² at either."""
    cosine = angles(201).cos()
    combined = (margins.combined, {"m1": float(m), "m2": 0.0, "m3": 0.0})
    chebyshev = (margins.multiplicative_angle, {"m": m, "lam": 0.0})
    values = [on_the_target(margin, cosine, **knobs) for margin, knobs in (combined, chebyshev)]
    assert torch.allclose(*values, atol=1e-12)
    gradients = [slopes(margin, cosine.tolist(), **knobs) for margin, knobs in (combined, chebyshev)]
    assert gradients[0] == pytest.approx(gradients[1], abs=1e-9)
    assert gradients[0][0] == pytest.approx(m**2)
    assert gradients[0][-1] == pytest.approx(m**2)


@pytest.mark.parametrize("knobs", [(1.0, 0.3, 0.2), (1.5, 0.0, 0.0), (1.2, 0.4, 0.2), (3.3, 1.5, 0.9)])
def test_combined_falls_without_a_jump_and_its_slope_never_pushes_a_target_away(knobs):
    m1, m2, m3 = knobs
    psi = on_the_target(margins.combined, angles().cos(), m1=m1, m2=m2, m3=m3)
    assert psi[0].item() == pytest.approx(math.cos(m2) - m3)
    assert psi.diff().max() <= 1e-12
    assert psi.diff().abs().max() < 2 * m1 * math.pi / 2000
    assert min(slopes(margins.combined, angles().cos().tolist(), m1=m1, m2=m2, m3=m3)) >= 0


def test_combined_honours_all_three_margins_at_once():
    """cos(1.2 arccos 0.6 + 0.4) - 0.2 is -0.1420: m1 and m2 are not dropped where m3 > 0."""
    value = on_the_target(margins.combined, torch.tensor([0.6]), m1=1.2, m2=0.4, m3=0.2)
    assert value.item() == pytest.approx(math.cos(1.2 * math.acos(0.6) + 0.4) - 0.2, abs=1e-6)
    assert value.item() == pytest.approx(-0.1420, abs=1e-4)


def test_at_its_ends_the_combined_margin_has_the_finite_part_of_its_slope():
    """m1² |cos phi|: at angle 0 that is cos m2 for ArcFace, as of the additive angle."""
    found = slopes(margins.combined, [1.0, -1.0], m1=1.0, m2=0.5, m3=0.2)
    assert found == pytest.approx([math.cos(0.5), math.cos(0.5)])
    found = slopes(margins.combined, [1.0, -1.0], m1=1.5, m2=0.3, m3=0.0)
    assert found == pytest.approx([2.25 * math.cos(0.3), 2.25 * abs(math.cos(1.5 * math.pi + 0.3))])


def test_the_clipped_angle_is_sphereface_r_until_pi_and_flat_beyond():
    cosine = angles().cos()
    clipped = on_the_target(margins.clipped_angle, cosine, m=1.5)
    plain = on_the_target(margins.combined, cosine, m1=1.5, m2=0.0, m3=0.0)
    before = angles() <= math.pi / 1.5
    assert torch.allclose(clipped[before], plain[before], atol=1e-14)
    assert (clipped[~before] == -1).all()
    gradient = torch.tensor(slopes(margins.clipped_angle, cosine.tolist(), m=1.5))
    assert gradient[0].item() == pytest.approx(2.25)
    assert (gradient[before][:-1] > 0).all()
    assert (gradient[~before] == 0).all()


@pytest.mark.parametrize("cosine", [1 + 1e-7, -1 - 1e-7])
def test_a_cosine_beyond_one_by_rounding_is_taken_as_one(case, margin, cosine):
    near, exact = (
        torch.tensor([[c]], dtype=torch.float64, requires_grad=True) for c in (cosine, round(cosine))
    )
    values = [margin(c, torch.tensor([0])) for c in (near, exact)]
    for value in values:
        value.sum().backward()
    assert values[0].item() == pytest.approx(values[1].item(), abs=1e-5)
    assert near.grad.item() == pytest.approx(exact.grad.item(), abs=1e-4)


@pytest.mark.parametrize("m", [-1, 1.0, 20, float("nan"), "abc"])
def test_a_bad_margin_is_named_with_its_value(m):
    cosine, target = draw()
    with pytest.raises(ValueError, match=rf"m={m}: must be a number in \[0, 1\)"):
        margins.additive_cosine(cosine, target, m=m)


@pytest.mark.parametrize(
    ("margin", "knobs", "line"),
    [
        ("additive_angle", {"m": 28.6}, "m=28.6: must be a number in [0, 1.5708); an angle in radians"),
        (
            "additive_angle_straight_through",
            {"m": 28.6},
            "m=28.6: must be a number in [0, 1.5708); an angle in radians",
        ),
        ("combined", {"m1": 0.9, "m2": 0.3, "m3": 0.2}, "m1=0.9: must be a number >= 1; it multiplies"),
        (
            "combined",
            {"m1": 1.0, "m2": 17.2, "m3": 0.2},
            "m2=17.2: must be a number in [0, 1.5708); an angle",
        ),
        (
            "combined",
            {"m1": 1.0, "m2": 0.3, "m3": 1.0},
            "m3=1.0: must be a number in [0, 1); a cosine margin",
        ),
        ("clipped_angle", {"m": 0.5}, "m=0.5: must be a number >= 1; it multiplies the angle"),
        ("multiplicative_angle", {"m": 1.5, "lam": 5.0}, "m=1.5: must be a whole number >= 1"),
        ("multiplicative_angle", {"m": 4, "lam": -1.0}, "lam=-1.0: must be a number >= 0"),
    ],
)
def test_angles_in_degrees_and_broken_multiples_are_refused(margin, knobs, line):
    with pytest.raises(ValueError, match=re.escape(line)):
        getattr(margins, margin)(*draw(), **knobs)
