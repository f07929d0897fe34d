"""Every loss against its oracle: by value, by gradient, at the edges."""

from __future__ import annotations

import math
import re
from functools import partial

import pytest
import torch
from omegaconf import OmegaConf

from lossbench import losses
from lossbench.config import conf_dir
from tests.losses.cases import LOSSES

IDS = [f"{case.name}-{case.knobs}" for case in LOSSES]


@pytest.fixture(params=LOSSES, ids=IDS)
def case(request):
    return request.param


@pytest.fixture
def loss(case):
    return partial(getattr(losses, case.function), **case.knobs)


def draw(n=7, c=5, dtype=torch.float64, scale=2.0):
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(n, c, generator=generator, dtype=torch.float64) * scale
    return scores.to(dtype), torch.randint(c, (n,), generator=generator)


def oracle_gradient(case, row, target, step=1e-6):
    """Central differences of the oracle, one score at a time."""
    gradient = []
    for j in range(len(row)):
        up, down = list(row), list(row)
        up[j] += step
        down[j] -= step
        high, low = (case.oracle(shifted, target, **case.knobs) for shifted in (up, down))
        gradient.append((high - low) / (2 * step))
    return gradient


def test_values_equal_the_oracle(case, loss):
    scores, target = draw()
    expected = [
        case.oracle(row, y, **case.knobs) for row, y in zip(scores.tolist(), target.tolist(), strict=True)
    ]
    assert loss(scores, target).tolist() == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_gradients_equal_the_oracles_differences(case, loss):
    scores, target = draw()
    scores.requires_grad_()
    loss(scores, target).sum().backward()
    for row, y, gradient in zip(scores.tolist(), target.tolist(), scores.grad.tolist(), strict=True):
        assert gradient == pytest.approx(oracle_gradient(case, row, y), abs=1e-6)


def test_gradients_pass_gradcheck(loss):
    scores, target = draw()
    assert torch.autograd.gradcheck(lambda z: loss(z, target), scores.requires_grad_())


def test_one_value_per_sample_and_inputs_left_alone(loss):
    scores, target = draw()
    before = scores.clone(), target.clone()
    assert loss(scores, target).shape == target.shape
    assert torch.equal(scores, before[0])
    assert torch.equal(target, before[1])


def test_samples_do_not_see_each_other(loss):
    scores, target = draw()
    order = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    assert torch.equal(loss(scores[order], target[order]), loss(scores, target)[order])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("huge", [1.0, 1e4])
def test_values_and_gradients_are_finite_at_huge_scores(loss, dtype, huge):
    scores, target = draw(dtype=dtype, scale=huge)
    scores = torch.cat([scores, torch.zeros(1, 5, dtype=dtype)]).requires_grad_()
    values = loss(scores, torch.cat([target, torch.tensor([0])]))
    values.sum().backward()
    assert torch.isfinite(values).all()
    assert torch.isfinite(scores.grad).all()


@pytest.mark.parametrize(
    "case", [case for case in LOSSES if case.name != "one_vs_all"], ids=lambda case: case.name
)
def test_one_class_costs_nothing(case, loss):
    scores = torch.tensor([[3.0], [-2.0]], dtype=torch.float64, requires_grad=True)
    values = loss(scores, torch.tensor([0, 0]))
    values.sum().backward()
    # The hinge over all classes counts the true one too, at delta: its least value, whatever the scores.
    least = case.knobs["delta"] if case.name == "hinge_all" else 0.0
    assert values.tolist() == [least, least]
    assert scores.grad.tolist() == [[0.0], [0.0]]


def test_float32_agrees_with_float64(loss):
    scores, target = draw()
    assert torch.allclose(loss(scores.float(), target).double(), loss(scores, target), rtol=1e-5, atol=1e-6)


def test_temperature_one_is_cross_entropy():
    scores, target = draw()
    expected = torch.nn.functional.cross_entropy(scores, target, reduction="none")
    assert torch.equal(losses.cross_entropy_loss(scores, target, tau=1.0), expected)


def test_temperature_equals_dividing_the_scores():
    scores, target = draw()
    divided = losses.cross_entropy_loss(scores / 0.25, target, tau=1.0)
    assert torch.allclose(losses.cross_entropy_loss(scores, target, tau=0.25), divided)


@pytest.mark.parametrize(
    ("function", "knob", "value", "rule"),
    [
        ("cross_entropy_loss", "tau", 0, "> 0"),
        ("cross_entropy_loss", "tau", -1.0, "> 0"),
        ("cross_entropy_loss", "tau", float("nan"), "> 0"),
        ("cross_entropy_loss", "tau", "abc", "> 0"),
        ("label_smoothing_loss", "smoothing", -0.1, "in [0, 1)"),
        ("label_smoothing_loss", "smoothing", 1, "in [0, 1)"),
        ("focal_loss", "gamma", -0.5, ">= 0"),
        ("squared_normalized_loss", "eps", 0.0, "> 0"),
        ("hinge_loss", "delta", 0.0, "> 0"),
        ("hinge_loss", "delta", float("inf"), "> 0"),
        ("hinge_mean_loss", "delta", 0.0, "> 0"),
        ("hinge_all_loss", "delta", -1.0, "> 0"),
        ("squared_hinge_loss", "delta", 0.0, "> 0"),
        ("crammer_singer_loss", "delta", 0.0, "> 0"),
    ],
)
def test_a_bad_knob_is_named_with_its_value(function, knob, value, rule):
    scores, target = draw()
    with pytest.raises(ValueError, match=re.escape(f"{knob}={value}: must be a number {rule}")):
        getattr(losses, function)(scores, target, **{knob: value})


def test_every_loss_and_every_yaml_has_a_row():
    yamls = {path.stem: OmegaConf.load(path) for path in (conf_dir() / "loss").glob("*.yaml")}
    targets = {
        name: body.get("loss", body)["_target_"] for name, body in yamls.items() if "preset" not in body
    }
    rows = {case.name: f"lossbench.losses.{case.function}" for case in LOSSES}
    # Distillation sees a teacher too: tests/losses/test_distillation.py.
    assert targets == {**rows, "distillation": "lossbench.losses.distillation_loss"}
    assert set(losses.__all__) == {"distillation_loss", *(case.function for case in LOSSES)}


def test_smoothing_zero_is_cross_entropy():
    scores, target = draw()
    expected = losses.cross_entropy_loss(scores, target, tau=1.0)
    assert torch.equal(losses.label_smoothing_loss(scores, target, smoothing=0.0), expected)


def test_smoothing_has_its_minimum_where_the_softmax_is_the_smoothed_target():
    smoothed = torch.full((1, 5), 0.2 / 5, dtype=torch.float64)
    smoothed[0, 2] += 0.8
    scores = smoothed.log().requires_grad_()
    value = losses.label_smoothing_loss(scores, torch.tensor([2]), smoothing=0.2)
    value.sum().backward()
    assert value.item() == pytest.approx(-(smoothed * smoothed.log()).sum().item())
    assert torch.allclose(scores.grad, torch.zeros(1, 5, dtype=torch.float64), atol=1e-12)


def test_focal_zero_is_cross_entropy():
    scores, target = draw()
    expected = losses.cross_entropy_loss(scores, target, tau=1.0)
    assert torch.allclose(losses.focal_loss(scores, target, gamma=0.0), expected, rtol=1e-13, atol=0)


@pytest.mark.parametrize("gamma", [0.0, 0.01, 0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_focal_and_its_slope_vanish_smoothly_as_the_target_becomes_certain(gamma, dtype):
    """With q = 1 - p_y -> 0 the value tends to q^(gamma + 1), its slope to -(gamma + 1) q^(gamma + 1)."""
    gaps = torch.tensor([15.0, 20.0, 40.0, 80.0, 1e4], dtype=dtype)
    scores = torch.stack([gaps, torch.zeros_like(gaps)], 1).requires_grad_()
    values = losses.focal_loss(scores, torch.zeros(5, dtype=torch.long), gamma=gamma)
    values.sum().backward()
    expected = (-(gamma + 1) * gaps.detach()).exp()
    # Over e^15 the powers of q beyond the first no longer show; under 1e-38 float32 has few digits left.
    assert torch.allclose(values, expected, rtol=1e-5, atol=1e-37)
    assert torch.allclose(scores.grad[:, 0], -(gamma + 1) * expected, rtol=1e-5, atol=1e-37)
    assert torch.allclose(scores.grad[:, 1], (gamma + 1) * expected, rtol=1e-5, atol=1e-37)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_of_a_hopeless_sample_is_its_score_difference(gamma):
    scores = torch.tensor([[-1e4, 1e4, 0.0]], requires_grad=True)
    value = losses.focal_loss(scores, torch.tensor([0]), gamma=gamma)
    value.sum().backward()
    assert value.item() == 2e4
    assert scores.grad.tolist() == [[-1.0, 1.0, 0.0]]


def test_hinge_all_less_delta_is_the_hinge_and_has_its_gradient():
    scores, target = draw()
    values, gradients = [], []
    for function in (losses.hinge_loss, losses.hinge_all_loss):
        leaf = scores.clone().requires_grad_()
        values.append(function(leaf, target, delta=0.7))
        gradients += torch.autograd.grad(values[-1].sum(), leaf)
    assert torch.allclose(values[1] - 0.7, values[0], rtol=0, atol=1e-12)
    assert torch.equal(*gradients)


def test_hinge_mean_times_the_wrong_classes_is_the_hinge():
    scores, target = draw()
    mean = losses.hinge_mean_loss(scores, target, delta=1.0)
    assert torch.allclose(4 * mean, losses.hinge_loss(scores, target, delta=1.0))


def test_crammer_singer_is_weston_watkins_for_two_classes():
    scores, target = draw(c=2)
    expected = losses.hinge_loss(scores, target, delta=1.0)
    assert torch.equal(losses.crammer_singer_loss(scores, target, delta=1.0), expected)


def test_crammer_singer_shares_its_slope_among_tied_classes():
    scores = torch.zeros(1, 3, requires_grad=True)
    losses.crammer_singer_loss(scores, torch.tensor([0]), delta=1.0).sum().backward()
    assert scores.grad.tolist() == [[-1.0, 0.5, 0.5]]


@pytest.mark.parametrize(("function", "p"), [("hinge_loss", 1), ("squared_hinge_loss", 2)])
def test_torchs_multi_margin_loss_is_the_hinge_over_all_classes(function, p):
    scores, target = draw()
    torchs = torch.nn.functional.multi_margin_loss(scores, target, p=p, margin=1.0, reduction="none")
    assert torch.allclose(getattr(losses, function)(scores, target, delta=1.0), 5 * torchs)


def test_squared_normalized_sees_neither_sign_nor_scale():
    scores, target = draw()
    value = losses.squared_normalized_loss(scores, target, eps=1e-15)
    flips = torch.tensor([1.0, -1, 1, -1, -1], dtype=torch.float64)
    assert torch.equal(losses.squared_normalized_loss(-scores, target, eps=1e-15), value)
    assert torch.equal(losses.squared_normalized_loss(flips * scores, target, eps=1e-15), value)
    for c in (0.1, 100.0):
        assert torch.allclose(losses.squared_normalized_loss(c * scores, target, eps=1e-15), value)


def test_squared_normalized_at_zero_scores_is_uniform_and_its_slope_is_bounded_by_eps():
    zeros = torch.zeros(1, 5, dtype=torch.float64)
    value = losses.squared_normalized_loss(zeros, torch.tensor([3]), eps=1e-6)
    assert value.item() == pytest.approx(math.log(5))
    own = torch.linspace(-0.01, 0.01, 2001, dtype=torch.float64)
    scores = torch.stack([own, torch.ones_like(own)], 1).requires_grad_()
    losses.squared_normalized_loss(scores, torch.zeros(2001, dtype=torch.long), eps=1e-6).sum().backward()
    assert scores.grad.abs().max().item() == pytest.approx(1e-6**-0.5, rel=1e-4)


def test_mse_keeps_its_digits_near_certainty():
    scores = torch.tensor([[25.0, 0.0, 0.0]], dtype=torch.float64)
    wrong = math.exp(-25)  # to eleven digits each of two probabilities
    assert losses.mse_loss(scores, torch.tensor([0])).item() == pytest.approx(6 * wrong**2, rel=1e-9)


def test_one_vs_all_is_a_binary_cross_entropy_per_class():
    scores, target = draw()
    one_hot = torch.zeros_like(scores).scatter(1, target[:, None], 1.0)
    binary = torch.nn.functional.binary_cross_entropy_with_logits(scores, one_hot, reduction="none").sum(1)
    assert torch.allclose(losses.one_vs_all_loss(scores, target, positive=1.0, negative=1.0), binary)


def test_one_vs_all_of_one_class_is_one_binary_decision():
    values = losses.one_vs_all_loss(torch.zeros(2, 1), torch.tensor([0, 0]), positive=3.0, negative=1.0)
    assert values.tolist() == pytest.approx([3 * math.log(2)] * 2)


@pytest.mark.parametrize(
    "weights", [{"positive": -1.0, "negative": 1.0}, {"positive": 1.0, "negative": -1.0}]
)
def test_a_negative_weight_of_one_vs_all_is_named(weights):
    with pytest.raises(ValueError, match=r"(positive|negative)=-1.0: must be a number >= 0"):
        losses.one_vs_all_loss(*draw(), **weights)
