import math

import numpy as np
import pytest
import torch

from lossbench.evaluate.labelled import difference, labelled
from lossbench.functional import cmc_curve, pair_verification
from lossbench.functional.bootstrap import identity_weights
from lossbench.intervals import holm
from lossbench.protocols import resampled
from tests.functional import slow

RATES = ("eer", "auc", "tar_far_1e_1", "tar_far_1e_2", "macro/tar_far_1e_1", "macro/tar_far_1e_2")


def faces(n=200, d=6, identities=30, noise=1.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    label = torch.arange(n) % identities
    centre = torch.randn(identities, d, generator=generator)
    return centre[label] + noise * torch.randn(n, d, generator=generator), label


def copies(embedding, label, m):
    """The rows of the people drawn, m[a] copies of each, labelled one by one, and whose copy each is."""
    parts = [(label == a).nonzero().flatten() for a, times in enumerate(m) for _ in range(times)]
    owner = [torch.full_like(rows, int(label[rows[0]])) for rows in parts]
    names = torch.arange(len(parts)).repeat_interleave(torch.tensor([len(rows) for rows in parts]))
    return embedding[torch.cat(parts)], names, torch.cat(owner)


def test_replicates_are_the_metrics_of_the_people_drawn_scored_from_scratch():
    embedding, label = faces(n=28, identities=7)
    found = labelled(embedding, label, replicates=4, seed=4, fars=(0.1, 0.02), protocols=["verification"])
    for r, m in enumerate(identity_weights(7, replicates=4, seed=4).tolist()):
        rows, names, owner = (part.tolist() for part in copies(embedding, label, m))
        unit = [slow.unit(row) for row in rows]
        genuine, impostor = [], []
        for i in range(len(rows)):
            for j in range(i):
                score = float(slow.cosine(unit[i], unit[j]))
                if names[i] == names[j]:
                    genuine.append(score)
                elif owner[i] != owner[j]:
                    impostor.append(score)
        eer = slow.equal_error_rate(np.array(genuine), np.array(impostor))
        assert float(found.replicates["test/eer"][r]) == pytest.approx(eer)
        assert float(found.replicates["test/auc"][r]) == pytest.approx(slow.area(genuine, impostor))
        for far, name in ((0.1, "tar_far_1e_1"), (0.02, "tar_far_2e_2")):
            tar = slow.tar_at_far(np.array(genuine), np.array(impostor), far)[0]
            assert float(found.replicates[f"test/{name}"][r]) == pytest.approx(tar)


def test_replicates_of_ranks_keep_the_gallery_and_draw_the_probes():
    embedding, label = faces(n=60, identities=12)
    label[label == 5] = torch.arange(100, 105)  # five people with one image
    strangers = torch.randn(9, 6, generator=torch.Generator().manual_seed(1))
    found = labelled(embedding, label, distractors=strangers, replicates=5, seed=2)
    curve = cmc_curve(embedding, label, distractors=strangers, seed=2)
    people = label.unique().tolist()
    columns = [people.index(identity) for identity in curve.identities]
    weights = identity_weights(len(people), replicates=5, seed=2)[:, columns]
    for rank in (1, 5):
        own = curve.found[:, rank - 1].double()
        expected = [float((m * own).sum() / (m * curve.trials).sum()) for m in weights]
        assert found.replicates[f"test/cmc_{rank}"].tolist() == pytest.approx(expected)


def test_every_defined_metric_has_an_interval_around_it_or_a_reason():
    found = labelled(*faces(), replicates=300)
    metrics = {name for name, value in found.evaluation.metrics.items() if value is not None}
    assert found.intervals.keys() | found.without.keys() == metrics
    assert not found.intervals.keys() & found.without.keys()
    for name in (*(f"test/{rate}" for rate in RATES), "test/cmc_1", "test/cmc_5"):
        interval = found.intervals[name]
        assert interval["low"] <= found.evaluation.metrics[name] <= interval["high"]
        assert (interval["level"], interval["replicates"]) == (0.95, 300)


def test_the_bootstrap_is_about_as_wide_as_other_people_make_it():
    # One set of people after the other from the same population.
    values = []
    for seed in range(60):
        embedding, label = faces(n=160, identities=40, seed=seed + 1)
        points = pair_verification(embedding, label, fars=(0.01,)).points
        values.append([points[0].tar, points[0].tar_macro])
    found = labelled(*faces(n=160, identities=40), fars=(0.01,), protocols=["verification"])
    for name, spread in zip(("test/tar_far_1e_2", "test/macro/tar_far_1e_2"), np.std(values, 0), strict=True):
        assert float(found.replicates[name].std()) == pytest.approx(float(spread), rel=0.5)


def test_rows_in_another_order_change_no_interval_over_pairs():
    embedding, label = faces()
    order = torch.randperm(len(label), generator=torch.Generator().manual_seed(3))
    one = labelled(embedding, label, replicates=200, protocols=["verification"])
    other = labelled(embedding[order], label[order], replicates=200, protocols=["verification"])
    assert one.intervals == other.intervals


def test_a_system_differs_from_itself_by_nothing_which_is_no_comparison():
    found = labelled(*faces(), replicates=200)
    assert found.replicates
    assert difference(found, found) == {}


def test_a_clearly_better_system_is_told_so_after_holm():
    embedding, label = faces(n=400, identities=60)
    worse = embedding + 1.5 * torch.randn(embedding.shape, generator=torch.Generator().manual_seed(5))
    one, other = labelled(embedding, label), labelled(worse, label)
    told, back = difference(one, other), difference(other, one)
    for name in ("test/eer", "test/tar_far_1e_2", "test/macro/tar_far_1e_2", "test/cmc_1"):
        sign = -1 if name == "test/eer" else 1
        assert sign * told[name]["difference"] > 0
        assert told[name]["low"] * told[name]["high"] > 0
        assert told[name]["p_holm"] < 0.05
        assert told[name]["p"] == pytest.approx(back[name]["p"])
        assert told[name]["low"] == pytest.approx(-back[name]["high"])
    adjusted = holm([values["p"] for values in told.values()])
    assert [values["p_holm"] for values in told.values()] == adjusted


def test_differences_of_two_losses_that_are_alike_are_rarely_resolved():
    embedding, label = faces(n=300, identities=60, noise=1.2)
    resolved = 0
    for seed in range(6):
        noise = torch.randn(2, *embedding.shape, generator=torch.Generator().manual_seed(seed))
        one, other = (labelled(embedding + 0.5 * part, label, replicates=300) for part in noise)
        resolved += any(values["p_holm"] < 0.05 for values in difference(one, other).values())
    assert resolved <= 1


def test_rates_that_need_more_scores_than_are_kept_are_resampled_on_a_sample(monkeypatch):
    embedding, label = faces(n=400, identities=60)
    whole = labelled(embedding, label, replicates=200, protocols=["verification"])
    monkeypatch.setattr(resampled, "LONGEST_TAIL", 8000)
    monkeypatch.setattr(resampled, "MOST_WEIGHED", 1000)
    monkeypatch.setattr(resampled, "HIGHEST", (300, 1 / 2500))
    found = labelled(embedding, label, replicates=200, protocols=["verification"])
    told = found.evaluation.details["test/verification"]["interval_sample"]
    assert told["impostor_pairs"] == 2**17
    assert {"auc", "macro/tar_far_1e_1", "tar_far_1e_1"} <= set(told["metrics"])
    assert found.without.keys() == whole.without.keys()
    for name, values in found.replicates.items():
        if name.removeprefix("test/") in told["metrics"]:
            low, high = (found.intervals[name][side] for side in ("low", "high"))
            assert low <= found.evaluation.metrics[name] <= high
            assert 0 <= values.min() <= values.max() <= 1
            assert values.std() == pytest.approx(whole.replicates[name].std(), rel=0.15)
        else:
            assert np.array_equal(values, whole.replicates[name])


def test_a_rate_that_neither_the_tail_nor_a_sample_can_show_is_told(monkeypatch):
    embedding, label = faces(n=400, identities=60)
    monkeypatch.setattr(resampled, "LONGEST_TAIL", 500)
    monkeypatch.setattr(resampled, "SAMPLE", 50_000)
    monkeypatch.setattr(resampled, "HIGHEST", (30, 1 / 2500))
    found = labelled(embedding, label, replicates=50, protocols=["verification"])
    impostors = found.evaluation.details["test/verification"]["impostor_pairs"]
    reason = f"needs the {0.02 * impostors:,.0f} highest impostor scores or more, 500 are kept"
    assert found.without["test/tar_far_1e_2"] == found.without["test/macro/tar_far_1e_2"] == reason
    assert "test/tar_far_1e_1" in found.intervals


@pytest.mark.parametrize(
    "label",
    [
        torch.zeros(6, dtype=torch.int64),
        torch.arange(6),
        torch.full((6,), -1),
        torch.tensor([0, 0, 1, 1, -1, -1]),
    ],
)
def test_sets_of_one_person_of_strangers_or_of_nobody_are_told_without_an_error(label):
    found = labelled(torch.randn(6, 3, generator=torch.Generator().manual_seed(0)), label, replicates=200)
    metrics = {name for name, value in found.evaluation.metrics.items() if value is not None}
    assert found.intervals.keys() | found.without.keys() == metrics
    assert all(math.isfinite(interval["low"]) for interval in found.intervals.values())


def test_no_replicates_are_no_intervals_and_no_reasons():
    found = labelled(*faces(), replicates=0)
    assert (found.replicates, found.intervals, found.without) == ({}, {}, {})


def test_a_number_of_replicates_that_is_none_is_refused_in_one_line():
    with pytest.raises(ValueError, match="replicates=-1"):
        labelled(*faces(), replicates=-1)


def test_one_false_accept_rate_or_none_at_all_gives_the_same_areas():
    every = labelled(*faces(), replicates=50, protocols=["verification"])
    for fars in ((), (0.1, 0.1)):
        found = labelled(*faces(), fars=fars, replicates=50, protocols=["verification"])
        assert found.intervals["test/eer"] == every.intervals["test/eer"]
        assert found.intervals["test/auc"] == every.intervals["test/auc"]


def test_rates_that_a_few_false_accepts_decide_are_told():
    embedding, label = faces()
    found = labelled(embedding, label, replicates=0)
    impostors = found.evaluation.details["test/verification"]["impostor_pairs"]
    lines = found.evaluation.details["cautions"]
    assert [line.split(":")[0] for line in lines] == ["tar_far_1e_4"]
    assert f"rests on {impostors / 10_000:.1f} false accepts" in lines[0]
    point = found.evaluation.details["test/tar_far_1e_2"]
    assert point["expected_false_accepts"] == pytest.approx(impostors / 100)
    assert point["false_accepts"] == round(point["achieved_far"] * impostors)
    low, high = point["far_interval"]
    assert low < point["achieved_far"] < high
