"""Claims of small trainings with cosine heads, and that other outcomes are told of."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from lossbench.chapter import annealing, compactness, embedding, few_shot, limits, sphere
from lossbench.chapter.claim import Missing, examine
from lossbench.heads import CosineHead
from lossbench.margins import additive_cosine
from tests.chapter.checking import comes_out, every_claim, fails


@pytest.mark.slow
@every_claim(compactness)
def test_claims_on_compactness_come_out(claim):
    comes_out(claim)


@pytest.mark.slow
@every_claim(few_shot)
def test_claims_on_unseen_classes_come_out(claim):
    comes_out(claim)


@pytest.mark.slow
@every_claim(annealing)
def test_claims_on_annealing_come_out(claim):
    comes_out(claim)


@pytest.mark.slow
@every_claim(limits)
def test_claims_on_limits_come_out(claim):
    comes_out(claim)


@pytest.mark.slow
def test_the_claim_on_the_sphere_comes_out():
    comes_out(sphere.cones)


def test_without_fashion_mnist_its_claim_is_not_run(monkeypatch):
    def missing():
        raise Missing("no Fashion-MNIST")

    monkeypatch.setattr(sphere, "clothes", missing)
    assert examine(sphere.cones_of_clothes).verdict == "not run"


def test_features_that_do_not_depend_on_the_loss_are_told_of(monkeypatch):
    unit = nn.functional.normalize(torch.randn(2000, 3, generator=torch.Generator().manual_seed(0)))
    labels = torch.arange(2000) % 10
    ten = sphere.Ten(tuple("0123456789"), embedding.Pictures(unit, labels), embedding.Pictures(unit, labels))
    monkeypatch.setattr(sphere, "_features", lambda source, loss, seed: unit)
    for name in ("handwritten", "clothes"):
        monkeypatch.setattr(sphere, name, lambda: ten)
    fails(sphere.cones)
    fails(sphere.cones_of_clothes)


def test_ways_of_training_that_all_work_alike_are_told_of(monkeypatch):
    monkeypatch.setattr(annealing, "_right", lambda way, seed, normed=False: 91.0)
    assert len(fails(annealing.annealed)) == 2
    assert len(fails(annealing.ramped)) == 1


def test_a_schedule_that_does_not_rise_is_caught(monkeypatch):
    monkeypatch.setattr(
        annealing, "_right", lambda way, seed, normed=False: 95.0 if "from 0" in way else 91.0
    )
    monkeypatch.setattr(annealing, "RAMP", lambda step, total: 0.4)
    assert "m at step 0" in fails(annealing.ramped)[0]


def alike(monkeypatch, module):
    """Every loss gives the same random features."""
    fixed = embedding.Trained(nn.Sequential(nn.Identity()), embedding.make_head("normface", 8, 10))
    draw = torch.Generator().manual_seed(0)
    pictures = embedding.Pictures(torch.randn(200, 8, generator=draw), torch.arange(200) % 10)
    monkeypatch.setattr(module, "glyph_net", lambda name, seed: fixed)
    monkeypatch.setattr(module, "glyphs", lambda: dict.fromkeys(("train", "test", "unseen"), pictures))


@pytest.mark.parametrize("name", ["compact", "uniform", "diagnosed"])
def test_embeddings_that_do_not_depend_on_the_margin_are_told_of(monkeypatch, name):
    alike(monkeypatch, compactness)
    fails(getattr(compactness, name))


@pytest.fixture
def table(tmp_path, monkeypatch):
    """Write runs of Table 3.1: by how many points AM lies above softmax, with a spread over seeds."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "results/table_3_1/runs.csv"
    path.parent.mkdir(parents=True)

    def write(gain, spread=0.1):
        lines = [f"id,dataset,seed,row,{few_shot.RANK1},{limits.ACCURACY}"]
        for dataset in ("glyphs", "lfw", "omniglot"):
            for seed in range(3):
                value = 0.5 + (gain + spread * (seed - 1)) / 100
                lines.append(f"s-{dataset}-{seed},{dataset},{seed},softmax,0.5,0.5")
                lines.append(f"a-{dataset}-{seed},{dataset},{seed},amsoftmax_035,{value},{value}")
        path.write_text("\n".join(lines), encoding="utf-8")

    return write


@pytest.mark.parametrize(("gain", "verdict"), [(0.1, "reproduced"), (-0.1, "contradicted")])
def test_a_difference_on_unseen_classes_is_told_by_its_sign(monkeypatch, table, gain, verdict):
    level = {"softmax": 0.5, "normface": 0.5, "am-0.35": 0.5 + gain}
    monkeypatch.setattr(few_shot, "_tasks", lambda name, seed: [100 * level[name] * (1 + 0.01 * seed)] * 4)
    monkeypatch.setattr(few_shot, "_scatter", lambda name, seed: ((1 + 0.01 * seed) / level[name],) * 2)
    table(100 * gain)
    assert examine(few_shot.reuse).verdict == verdict
    assert examine(few_shot.threshold).verdict == verdict


def test_a_rate_that_refuses_nobody_is_caught(monkeypatch):
    monkeypatch.setattr(few_shot, "dir_at_far", lambda curve, far: SimpleNamespace(dir=0.9))
    fails(few_shot.closed_search)


def test_losses_that_do_not_differ_where_they_should_are_told_of(monkeypatch):
    monkeypatch.setattr(limits, "_trained", lambda s, m, seed, dim: 94.0)
    assert len(fails(limits.too_large)) == 1


def test_a_margin_that_stalls_training_is_told_of(monkeypatch):
    monkeypatch.setattr(limits, "_trained", lambda s, m, seed, dim: 94.0 - 20 * (s > 100) - 20 * (m > 0.5))
    assert len(fails(limits.too_large)) == 2


@pytest.mark.parametrize(
    ("cosine", "inner", "verdict"),
    [
        (3.0, 0.0, "reproduced"),
        (3.0, 6.0, "mixed: reproduced in 1 of 2, contradicted in 1"),
        (0.0, 3.0, "not reproduced here"),  # no benefit that could be lost
        (-3.0, -6.0, "not reproduced here"),
    ],
)
def test_what_is_lost_by_inner_products_needs_a_benefit_by_cosine(monkeypatch, cosine, inner, verdict):
    def neighbours(name, seed):
        chance = (-1) ** seed * (0.5 if name == "softmax" else 0.2)
        am = name != "softmax"
        return 90 + chance + cosine * am, 75 + 2 * chance + inner * am

    monkeypatch.setattr(limits, "_neighbours", neighbours)
    assert examine(limits.inner_products).verdict == verdict


@pytest.mark.parametrize(
    ("gain", "verdict"), [(0.0, "reproduced"), (-5.0, "reproduced"), (0.9, "not reproduced here")]
)
def test_in_the_closed_set_cross_entropy_does_as_well_where_the_margin_gains_less_than_a_point(
    table, gain, verdict
):
    table(gain)
    assert examine(limits.closed_set).verdict == verdict


def test_sets_that_are_only_shown_need_not_be_there(table, tmp_path):
    table(0.0)
    path = tmp_path / "results/table_3_1/runs.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line for line in lines if "lfw" not in line))
    found = examine(limits.closed_set)
    assert found.verdict == "reproduced"
    assert found.work.steps[1].endswith("softmax: -")
    path.write_text("\n".join(line for line in lines if ",glyphs,0,softmax" in line or "id," in line))
    assert examine(limits.closed_set).verdict == "not run"


def test_a_schedule_is_followed_while_training():
    seen = []

    def rising(step, total):
        seen.append((step, total))
        return 0.1

    given = embedding.Pictures(torch.randn(20, 4), torch.arange(20) % 2)
    make = partial(CosineHead, 3, 2, margin=partial(additive_cosine, m=rising), s=10.0)
    embedding.train_net(make, given, seed=0, hidden=4, dim=3, normed=False, rate=0.01, steps=5)
    assert [pair for pair in seen if pair[1] == 5] == [(step, 5) for step in range(5)]


def test_halving_takes_the_mean_of_four_pixels():
    images = torch.tensor([[[0, 255, 255, 255], [0, 255, 255, 255]]], dtype=torch.uint8).numpy()
    assert embedding.halved(images).tolist() == [[0.0, 0.5]]
