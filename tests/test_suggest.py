"""The bounds behind `python -m lossbench.suggest`, against arrangements that reach them."""

from __future__ import annotations

import math

import pytest
import torch

from lossbench.feasibility import largest_margin, least_scale, loss_floor
from lossbench.suggest import main, suggestion


def simplex(classes):
    """Unit vectors with cosine -1/(C-1) between any two."""
    centred = torch.eye(classes, dtype=torch.float64) - 1 / classes
    return torch.nn.functional.normalize(centred)


def gap(prototypes):
    """Cosine gap of a feature on its own prototype to the nearest other one."""
    cosine = prototypes @ prototypes.T
    return 1 - cosine.fill_diagonal_(-1).max().item()


def test_the_largest_margin_is_that_of_the_best_arrangement():
    assert gap(simplex(7)) == pytest.approx(largest_margin(7, 6)[0])
    circle = torch.tensor([[math.cos(k * math.pi / 5), math.sin(k * math.pi / 5)] for k in range(10)])
    assert gap(circle.double()) == pytest.approx(largest_margin(10, 2)[0], abs=1e-6)
    orthoplex = torch.cat([torch.eye(4), -torch.eye(4)]).double()
    assert gap(orthoplex) == largest_margin(8, 4)[0] == 1.0
    assert largest_margin(8, 4)[1]
    assert not largest_margin(9, 4)[1]


def test_the_least_scale_gives_the_probability_on_a_simplex():
    for classes, probability in ((10, 0.9), (50, 0.99)):
        scores = least_scale(classes, probability) * (simplex(classes) @ simplex(classes).T)
        assert scores.softmax(1).diagonal().tolist() == pytest.approx([probability] * classes)


def test_the_loss_floor_is_the_loss_on_a_simplex():
    """NormFace floor: 1.377 at C=10 and 8.266 at C=10572 for s=1."""
    scores = 4.0 * (simplex(10) @ simplex(10).T)
    loss = torch.nn.functional.cross_entropy(scores, torch.arange(10))
    assert loss_floor(10, 4.0) == pytest.approx(loss.item())
    assert (loss_floor(10, 1.0), loss_floor(10572, 1.0)) == pytest.approx((1.377, 8.266), abs=5e-4)


def test_a_suggestion_says_scale_margin_loss_and_grid():
    text = "\n".join(suggestion(10572, 512, 0.9))
    assert "s >= 11.46" in text
    assert "m < 1.000" in text
    assert "starts at 10.1" in text
    assert "or 20.6" in text
    assert "s in {16, 30, 64}, m in {0.25, 0.3, 0.35, 0.4, 0.45}" in text


def test_infeasible_margins_are_left_out_of_the_grid():
    text = "\n".join(suggestion(10, 2, 0.9))
    assert "m <= 0.191" in text
    assert "m in {0.095}" in text or "m in {0.096}" in text


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--classes", "1", "--dim", "8"], "classes=1: must be a whole number >= 2"),
        (["--classes", "10", "--dim", "0"], "dim=0: must be a whole number >= 1"),
        (
            ["--classes", "10", "--dim", "8", "--probability", "1"],
            "probability=1.0: must be a number in (0, 1)",
        ),
    ],
)
def test_a_bad_number_is_one_line(arguments, line, capsys):
    assert main(arguments) == 1
    assert capsys.readouterr().err.strip() == f"lossbench.suggest: error: {line}"
