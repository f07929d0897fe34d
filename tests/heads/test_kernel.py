"""The fast path of cosine heads against the plain composition of normalise, linear, margin and scale."""

from __future__ import annotations

from functools import partial

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from lossbench.heads.kernel import _CrossEntropy, cosine_cross_entropy, cosine_scores
from lossbench.margins import additive_angle, additive_cosine, multiplicative_angle

MARGINS = {
    "none": None,
    "am": partial(additive_cosine, m=0.35),
    "arc": partial(additive_angle, m=0.5),
    "a": partial(multiplicative_angle, m=4, lam=0.0),
    "a_blended": partial(multiplicative_angle, m=3, lam=5.0),
}
SCALES = ("number", "learned", "norm")
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}


@pytest.fixture(params=MARGINS)
def margin(request):
    return MARGINS[request.param]


def draw(dtype=torch.float64, n=7, d=5, c=9):
    generator = torch.Generator().manual_seed(2)
    embedding = torch.randn(n, d, generator=generator, dtype=torch.float64).to(dtype)
    weight = 0.4 * torch.randn(c, d, generator=generator, dtype=torch.float64).to(dtype)
    target = torch.randint(c, (n,), generator=generator)
    return embedding.requires_grad_(), weight.requires_grad_(), target


def scale_of(kind, embedding):
    if kind == "number":
        return 6.0
    if kind == "learned":
        return torch.tensor(6.0, dtype=embedding.dtype, requires_grad=True)
    return (3 * embedding.detach().norm(dim=1, keepdim=True)).requires_grad_()


def composition(embedding, weight, target, margin, scale):
    cosine = F.linear(F.normalize(embedding), F.normalize(weight))
    return scale * (cosine if margin is None or target is None else margin(cosine, target))


def composed_loss(embedding, weight, target, margin, scale, tau):
    scores = composition(embedding, weight, target, margin, scale)
    return F.cross_entropy(scores / tau, target, reduction="none")


def upstream(value):
    return torch.linspace(-1, 2, value.numel(), dtype=value.dtype).view_as(value)


def assert_equal_with_gradients(ours, expected, inputs, atol):
    assert torch.allclose(ours, expected, rtol=atol, atol=atol)
    inputs = [each for each in inputs if isinstance(each, torch.Tensor) and each.requires_grad]
    for one, other in zip(
        *(torch.autograd.grad(value, inputs, upstream(value)) for value in (ours, expected)), strict=True
    ):
        greatest = max(1.0, other.abs().max().item())
        assert torch.allclose(one, other, rtol=atol, atol=10 * atol * greatest)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("kind", SCALES)
def test_scores_and_gradients_equal_the_composition(margin, kind, dtype):
    embedding, weight, target = draw(dtype)
    scale = scale_of(kind, embedding)
    ours, expected = (f(embedding, weight, target, margin, scale) for f in (cosine_scores, composition))
    assert_equal_with_gradients(ours, expected, (embedding, weight, scale), TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("tau", [1.0, 2.5])
@pytest.mark.parametrize("kind", SCALES)
def test_losses_and_gradients_equal_the_composition(margin, kind, tau, dtype):
    embedding, weight, target = draw(dtype)
    scale = scale_of(kind, embedding)
    ours, expected = (
        f(embedding, weight, target, margin, scale, tau) for f in (cosine_cross_entropy, composed_loss)
    )
    assert_equal_with_gradients(ours, expected, (embedding, weight, scale), TOLERANCE[dtype])


def test_matrices_of_many_parts_equal_the_composition(margin, monkeypatch):
    monkeypatch.setattr("lossbench.heads.kernel._PASS", 20)
    monkeypatch.setattr("lossbench.heads.kernel._PRODUCT", 28)
    embedding, weight, target = draw()
    ours = cosine_cross_entropy(embedding, weight, target, margin, 6.0, 1.0)
    expected = composed_loss(embedding, weight, target, margin, 6.0, 1.0)
    assert_equal_with_gradients(ours, expected, (embedding, weight), 1e-12)
    ours, expected = (f(embedding, weight, target, margin, 6.0) for f in (cosine_scores, composition))
    assert_equal_with_gradients(ours, expected, (embedding, weight), 1e-12)


def test_the_gradient_reaches_an_embedding_that_is_its_own_scale():
    embedding, weight, target = draw()
    margin = MARGINS["a_blended"]
    ours, expected = (
        f(embedding, weight, target, margin, embedding.norm(dim=1, keepdim=True), 1.0)
        for f in (cosine_cross_entropy, composed_loss)
    )
    assert_equal_with_gradients(ours, expected, (embedding, weight), 1e-12)


def test_without_a_target_there_is_no_margin(margin):
    embedding, weight, _ = draw()
    ours = cosine_scores(embedding, weight, None, margin, 6.0)
    assert_equal_with_gradients(
        ours, composition(embedding, weight, None, None, 6.0), (embedding, weight), 1e-12
    )


@pytest.mark.parametrize("kind", SCALES)
def test_gradients_pass_gradcheck(margin, kind):
    embedding, weight, target = draw()
    scale = scale_of(kind, embedding)
    assert torch.autograd.gradcheck(
        lambda e, w, s: cosine_scores(e, w, target, margin, s), (embedding, weight, scale)
    )
    assert torch.autograd.gradcheck(
        lambda e, w, s: cosine_cross_entropy(e, w, target, margin, s, 1.5), (embedding, weight, scale)
    )


def test_a_mean_and_a_second_backward_pass_give_the_same_gradient(margin):
    embedding, weight, target = draw()
    inputs = (embedding, weight)
    ours = cosine_cross_entropy(embedding, weight, target, margin, 6.0, 1.0).mean()
    expected = composed_loss(embedding, weight, target, margin, 6.0, 1.0).mean()
    first = torch.autograd.grad(ours, inputs, retain_graph=True)
    assert_equal_with_gradients(ours, expected, inputs, 1e-12)
    scores = cosine_scores(embedding, weight, target, margin, 6.0)
    torch.autograd.grad(F.cross_entropy(scores, target), inputs, retain_graph=True)
    again = torch.autograd.grad(F.cross_entropy(scores, target), inputs)
    for one, other in zip(first, again, strict=True):
        assert torch.allclose(one, other, atol=1e-12)


def both(embedding, weight, target, margin, scale):
    """Mean losses by either function."""
    yield cosine_cross_entropy(embedding, weight, target, margin, scale, 1.0).mean()
    yield F.cross_entropy(cosine_scores(embedding, weight, target, margin, scale), target)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_all_is_finite_at_plus_and_minus_one_and_for_rows_of_zeros(margin, dtype):
    embedding, weight, target = draw(dtype)
    with torch.no_grad():
        embedding[0], embedding[1], embedding[2] = 3 * weight[target[0]], -weight[target[1]], 0
        weight[target[3]] = 0
    scale = scale_of("learned", embedding)
    for loss in both(embedding, weight, target, margin, scale):
        assert torch.isfinite(loss)
        for gradient in torch.autograd.grad(loss, (embedding, weight, scale)):
            assert torch.isfinite(gradient).all()


def test_rows_of_zeros_have_cosine_zero_and_the_gradient_of_normalize(margin):
    embedding, weight, target = draw()
    with torch.no_grad():
        embedding[2] = 0
        weight[target[3]] = 0
    scores = cosine_scores(embedding, weight, None, None, 6.0)
    assert not scores[2].any()
    assert not scores[:, target[3]].any()
    expected = composed_loss(embedding, weight, target, margin, 6.0, 1.0).mean()
    wanted = torch.autograd.grad(expected, (embedding, weight))
    for loss in both(embedding, weight, target, margin, 6.0):
        for one, other in zip(torch.autograd.grad(loss, (embedding, weight)), wanted, strict=True):
            assert torch.allclose(one, other, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_a_huge_scale_gives_the_losses_of_the_composition(margin, dtype):
    embedding, weight, target = draw(dtype)
    expected = composed_loss(embedding, weight, target, margin, 1e4, 1.0).mean()
    for loss in both(embedding, weight, target, margin, 1e4):
        assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
        for gradient in torch.autograd.grad(loss, (embedding, weight)):
            assert torch.isfinite(gradient).all()


def test_no_softmax_entry_is_subnormal():
    """Products with subnormal numbers take many times as long."""
    embedding, weight, target = draw(torch.float32, n=50)
    loss = _CrossEntropy.apply(embedding, weight, torch.tensor(60.0), target, None, 1.0)
    softmax = loss.grad_fn.saved_tensors[0]
    assert softmax[softmax != 0].abs().min() > 1e-30
    assert torch.softmax(composition(embedding, weight, None, None, 60.0), 1).min() < 1e-38


def test_one_class_costs_nothing(margin):
    embedding, weight, _ = draw(c=1)
    target = torch.zeros(7, dtype=torch.long)
    for loss in both(embedding, weight, target, margin, 6.0):
        assert loss.item() == 0
        for gradient in torch.autograd.grad(loss, (embedding, weight)):
            assert not gradient.any()


def test_no_rows_give_no_losses_and_zero_gradients(margin):
    embedding, weight, target = draw(n=0)
    loss = cosine_cross_entropy(embedding, weight, target, margin, 6.0, 1.0)
    assert loss.shape == (0,)
    (gradient,) = torch.autograd.grad(loss.sum(), weight)
    assert not gradient.any()
    assert cosine_scores(embedding, weight, target, margin, 6.0).shape == (0, 9)


def test_inputs_are_not_written_to(margin):
    embedding, weight, target = draw()
    scale = scale_of("norm", embedding)
    inputs = (embedding, weight, target, scale)
    before = [each.detach().clone() for each in inputs]
    scores = cosine_scores(embedding, weight, target, margin, scale)
    kept, given = scores.detach().clone(), upstream(scores)
    scores.backward(given)
    cosine_cross_entropy(embedding, weight, target, margin, scale, 1.0).sum().backward()
    assert all(torch.equal(one, other) for one, other in zip(inputs, before, strict=True))
    assert torch.equal(scores, kept)
    assert torch.equal(given, upstream(scores))


def test_results_may_be_written_to(margin):
    embedding, weight, target = draw()
    arguments = (embedding, weight, target, margin, 6.0)
    expected = torch.autograd.grad(3 * cosine_cross_entropy(*arguments, 1.0).sum(), weight)
    assert torch.equal(
        torch.autograd.grad(cosine_cross_entropy(*arguments, 1.0).mul_(3).sum(), weight)[0], expected[0]
    )
    expected = torch.autograd.grad((3 * composition(*arguments)).sum(), weight)
    ours = torch.autograd.grad(cosine_scores(*arguments).mul_(3).sum(), weight)
    assert torch.allclose(ours[0], expected[0], atol=1e-12)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_values_are_the_same_without_gradients(margin, mode):
    embedding, weight, target = draw()
    expected = [loss.item() for loss in both(embedding, weight, target, margin, 6.0)]
    with mode():
        losses = list(both(2 * embedding, weight, target.clone(), margin, 6.0))
    assert not any(loss.requires_grad for loss in losses)
    assert [loss.item() for loss in losses] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("frozen", ["embedding", "weight"])
def test_a_frozen_side_gets_no_gradient_and_leaves_the_other_as_it_is(margin, frozen):
    embedding, weight, target = draw()
    free = weight if frozen == "embedding" else embedding
    expected = [torch.autograd.grad(loss, free)[0] for loss in both(embedding, weight, target, margin, 6.0)]
    (embedding if frozen == "embedding" else weight).requires_grad_(False)
    for loss, wanted in zip(both(embedding, weight, target, margin, 6.0), expected, strict=True):
        loss.backward()
        assert torch.equal(free.grad, wanted)
        free.grad = None
    assert embedding.grad is None
    assert weight.grad is None


def test_a_frozen_weight_costs_no_product(monkeypatch):
    embedding, weight, target = draw()
    monkeypatch.setattr("lossbench.heads.kernel._project_", None)
    for loss in both(embedding, weight.detach(), target, MARGINS["am"], 6.0):
        loss.backward()


def test_a_second_derivative_is_refused():
    embedding, weight, target = draw()
    for loss in both(embedding, weight, target, None, 6.0):
        with pytest.raises(RuntimeError, match="no second derivative"):
            torch.autograd.grad(loss, embedding, create_graph=True)


def test_a_target_that_is_no_class_is_refused(margin):
    embedding, weight, target = draw()
    for wrong in (-100, 9):
        target[0] = wrong
        with pytest.raises((RuntimeError, IndexError)):
            cosine_cross_entropy(embedding, weight, target, margin, 6.0, 1.0)
