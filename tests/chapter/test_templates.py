"""Claims on templates, on real photographs where they are at hand, and that wrong templates are caught."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch

from lossbench.chapter import modes, photographs, templates
from lossbench.chapter.claim import NOT_RUN, examine
from tests.chapter.checking import comes_out, every_claim, fails


@pytest.fixture
def fresh():
    """What was read and trained is forgotten, before and after."""
    known = photographs.photographs, photographs.templates
    for each in known:
        each.cache_clear()
    yield
    for each in known:
        each.cache_clear()


@pytest.fixture
def noise(monkeypatch, fresh):
    """Photographs that show nothing."""
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(256, (1200, 32, 32, 3), generator=draw, dtype=torch.uint8)
    labels = torch.arange(1200) % 10
    found = photographs.Photographs(images[:1000], labels[:1000], images[1000:], labels[1000:])
    for module in (photographs, templates):
        monkeypatch.setattr(module, "photographs", lambda: found)
    monkeypatch.setattr(photographs, "TRAINED", 1000)
    monkeypatch.setattr(photographs, "STEPS", 4)


@pytest.mark.data
@pytest.mark.slow  # 60,000 JPEGs are decoded
@pytest.mark.skipif("LOSSBENCH_DATA" not in os.environ, reason="LOSSBENCH_DATA is not set")
@every_claim(templates)
def test_claims_on_cifar_come_out(claim):
    comes_out(claim)


@every_claim(modes, slow=["C-3.3.4-modes"])
def test_claims_on_modes_come_out(claim):
    comes_out(claim)


def test_the_slips_of_the_listing_need_no_data():
    comes_out(templates.show_in_loop)


@pytest.mark.parametrize("name", ["ten_templates", "colours", "tinted", "listing"])
def test_without_photographs_a_claim_is_not_run_and_says_in_one_line_where_to_put_them(
    monkeypatch, tmp_path, fresh, name
):
    monkeypatch.setenv("LOSSBENCH_DATA", str(tmp_path))
    monkeypatch.setenv("LOSSBENCH_CACHE", str(tmp_path / "cache"))
    found = examine(getattr(templates, name))
    assert found.verdict == NOT_RUN
    assert "\n" not in found.reason
    assert "cifar10" in found.reason
    assert str(tmp_path) in found.reason


@pytest.mark.parametrize(
    ("name", "caught"),
    [("ten_templates", "35 to 41"), ("colours", "red cars"), ("tinted", "taken for plane or ship")],
)
def test_templates_of_noise_are_caught(noise, name, caught):
    assert any(caught in told for told in fails(getattr(templates, name)))


def test_images_that_do_not_follow_the_weights_are_caught(monkeypatch, noise):
    shown = templates.shown
    monkeypatch.setattr(templates, "shown", lambda weight: np.swapaxes(shown(weight), 1, 2))
    assert any("follow the weights" in told for told in fails(templates.listing))
    monkeypatch.setattr(templates, "shown", lambda weight: shown(weight.flip(0)))
    fails(templates.show_in_loop)


def test_templates_lower_the_loss_they_are_trained_on(noise):
    found = photographs.templates("softmax")
    images, labels = photographs.photographs()[:2]
    loss = torch.nn.functional.cross_entropy(found.scores(images), labels).item()
    assert loss < np.log(10)
    assert found.weight.shape == (10, 3072)
    assert not torch.equal(found.weight, photographs.templates("softmax", flips=True).weight)


def test_scores_are_inner_products_with_the_pixels_less_their_mean(noise):
    found = photographs.templates("hinge")
    image = photographs.photographs().test[:1]
    pixels = (image[0].double() - found.mean) / 255
    by_hand = [(template * pixels).sum() + b for template, b in zip(found.images, found.bias, strict=True)]
    assert torch.allclose(found.scores(image)[0].double(), torch.stack(by_hand), atol=1e-5)


def test_an_image_is_alike_its_mirror_image_by_how_symmetric_it_is():
    even = torch.ones(1, 4, 4, 3)
    odd = torch.linspace(-1, 1, 4)[None, None, :, None].expand(1, 4, 4, 3)
    assert torch.allclose(
        templates.mirror(torch.cat([even, odd, even + odd])), torch.tensor([1.0, -1.0, 4 / 14])
    )


def test_neighbours_vote():
    kept, labels = torch.tensor([[0.0], [1.0], [1.2], [5.0]]), torch.tensor([0, 1, 1, 2])
    asked, answers = torch.tensor([[0.1], [5.0]]), torch.tensor([1, 2])
    assert templates.neighbours_right(asked, answers, kept, labels, 1) == 50
    assert templates.neighbours_right(asked[:1], answers[:1], kept, labels, 3) == 100


def test_digits_that_are_not_mirrored_are_caught(monkeypatch):
    monkeypatch.setattr(modes, "mirrored", lambda images: images)
    monkeypatch.setattr(modes, "SEEDS", range(1))
    modes.trained.cache_clear()
    told = fails(modes.two_facings)
    modes.trained.cache_clear()
    assert any("second facing" in each for each in told)


def test_mirroring_turns_left_for_right_and_twice_is_nothing():
    images = torch.arange(64.0)[None]
    assert modes.mirrored(images)[0, :8].tolist() == [7, 6, 5, 4, 3, 2, 1, 0]
    assert torch.equal(modes.mirrored(modes.mirrored(images)), images)
