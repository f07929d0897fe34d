import io
import json
import math
import os
import statistics
import tarfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import ttest_1samp

from lossbench.functional import area_under_curve, roc_curve
from lossbench.intervals import clopper_pearson
from lossbench.protocols.lfw import RULES, contiguous_folds, lfw, with_mirror
from tests.functional import slow

FOLDER = Path(os.environ.get("LOSSBENCH_DATA", "no data")) / "lfw"


def listed(n=40, p=120, folds=6, d=8, seed=0):
    """Random rows of a few identities, pairs half genuine, folds in random order."""
    generator = torch.Generator().manual_seed(seed)
    label = torch.arange(n) % (n // 4)
    embedding = torch.randn(n // 4, d, generator=generator)[label]
    embedding += 0.9 * torch.randn(n, d, generator=generator)
    every = torch.combinations(torch.arange(n), 2)
    same = label[every[:, 0]] == label[every[:, 1]]
    chosen = torch.cat([kind.nonzero().flatten()[: p // 2] for kind in (same, ~same)])
    order = torch.randperm(len(chosen), generator=generator)
    chosen = chosen[order]
    return embedding, every[chosen], same[chosen], contiguous_folds(len(chosen), folds)


def scores_of(embedding, pairs):
    rows = [slow.unit(row) for row in embedding.tolist()]
    return [float(slow.cosine(rows[i], rows[j])) for i, j in pairs.tolist()]


def decided(scores, same, t, strict=False):
    wrong = [(s > t) == (s < t) for s in scores] if strict else [False] * len(scores)
    right = [((s >= t) == g) and not w for s, g, w in zip(scores, same, wrong, strict=True)]
    return sum(right) / len(right)


def split(values, fold, f):
    return [v for v, k in zip(values, fold, strict=True) if k != f], [
        v for v, k in zip(values, fold, strict=True) if k == f
    ]


def exact(scores, same):
    """The best accuracy over all midpoints; any of those thresholds."""
    levels = sorted(set(scores))
    trials = [levels[0], *[(a + b) / 2 for a, b in pairwise(levels)], math.inf]
    return max(decided(scores, same, t) for t in trials)


def insightface(scores, same):
    best, found = -1.0, 0.0
    for k in range(400):
        t = k * 0.01
        share = sum((2 - 2 * s < t) == g for s, g in zip(scores, same, strict=True)) / len(same)
        if share > best:
            best, found = share, t
    return found


def sphereface(scores, same):
    grid = [k / 10_000 for k in range(-10_000, 10_001)]
    ranked = np.array(scores)[:, None]
    truth = np.array(same)[:, None]
    right = np.where(truth, ranked > np.array(grid), ranked < np.array(grid)).sum(axis=0)
    return float(np.mean(np.array(grid)[right == right.max()]))


def test_each_fold_is_decided_by_the_best_threshold_of_the_others():
    embedding, pairs, same, fold = listed()
    result = lfw(embedding, pairs, same, fold)
    scores, truth = scores_of(embedding, pairs), same.tolist()
    for f, (share, t) in enumerate(
        zip(result.details["fold_accuracy"], result.details["fold_threshold"], strict=True)
    ):
        train, test = split(scores, fold.tolist(), f)
        train_truth, test_truth = split(truth, fold.tolist(), f)
        assert decided(train, train_truth, t) == exact(train, train_truth)
        assert share == pytest.approx(decided(test, test_truth, t))
    accuracies = result.details["fold_accuracy"]
    assert result.metrics["pair_accuracy"] == pytest.approx(sum(accuracies) / 6)
    assert result.metrics["pair_accuracy_standard_error"] == pytest.approx(
        np.std(accuracies, ddof=1) / math.sqrt(6)
    )


@pytest.mark.parametrize("rule", RULES)
def test_the_accuracy_has_an_interval_over_folds_and_one_over_pairs(rule):
    embedding, pairs, same, fold = listed()
    result = lfw(embedding, pairs, same, fold, rule=rule)
    interval = result.details["intervals"]["pair_accuracy"]
    expected = ttest_1samp(result.details["fold_accuracy"], 0).confidence_interval()
    assert (interval["low"], interval["high"]) == pytest.approx((expected.low, min(expected.high, 1)))
    assert (interval["level"], interval["folds"], interval["method"]) == (0.95, 6, "t over folds")
    right = round(sum(share * 20 for share in result.details["fold_accuracy"]))
    assert result.details["right_pairs"] == right
    assert result.details["right_pairs_interval"] == list(clopper_pearson(right, 120))


def test_folds_that_are_all_right_have_no_interval_but_that_of_pairs():
    label = torch.arange(24) % 12
    pairs = torch.stack([torch.arange(24), torch.cat([torch.arange(12, 24), torch.arange(1, 13)])], dim=1)
    result = lfw(torch.eye(12)[label], pairs, label[pairs[:, 0]] == label[pairs[:, 1]], torch.arange(24) % 2)
    assert result.metrics["pair_accuracy"] == 1
    assert result.details["intervals"] == {}
    assert result.details["right_pairs_interval"] == [pytest.approx(0.8575, abs=1e-4), 1.0]


def test_the_insightface_rule_takes_the_first_best_of_400_squared_distances():
    embedding, pairs, same, fold = listed()
    result = lfw(embedding, pairs, same, fold, rule="insightface")
    scores, truth = scores_of(embedding, pairs), same.tolist()
    for f, t in enumerate(result.details["fold_threshold"]):
        train, test = split(scores, fold.tolist(), f)
        train_truth, test_truth = split(truth, fold.tolist(), f)
        assert t == pytest.approx(insightface(train, train_truth))
        expected = sum((2 - 2 * s < t) == g for s, g in zip(test, test_truth, strict=True)) / len(test)
        assert result.details["fold_accuracy"][f] == pytest.approx(expected)
    assert result.metrics["pair_accuracy_std"] == pytest.approx(np.std(result.details["fold_accuracy"]))
    assert "pair_accuracy_standard_error" not in result.metrics


def test_the_sphereface_rule_takes_off_the_mean_of_the_other_folds_and_averages_the_best_thresholds():
    embedding, pairs, same, fold = listed()
    result = lfw(embedding + 3, pairs, same, fold, rule="sphereface")
    truth = same.tolist()
    for f, t in enumerate(result.details["fold_threshold"]):
        used = [row for pair, k in zip(pairs.tolist(), fold.tolist(), strict=True) if k != f for row in pair]
        rows = (embedding + 3).double().numpy()
        scores = scores_of(torch.from_numpy(rows - np.mean([rows[r] for r in used], axis=0)), pairs)
        train, test = split(scores, fold.tolist(), f)
        train_truth, test_truth = split(truth, fold.tolist(), f)
        assert t == pytest.approx(sphereface(train, train_truth))
        assert result.details["fold_accuracy"][f] == pytest.approx(decided(test, test_truth, t, strict=True))


def test_other_metrics_are_those_of_all_listed_pairs():
    embedding, pairs, same, fold = listed()
    scores = torch.tensor(scores_of(embedding, pairs))
    curve = roc_curve(scores[same], scores[~same])
    for rule in RULES:
        result = lfw(embedding, pairs, same, fold, rule=rule)
        assert result.metrics["auc"] == area_under_curve(curve)
        assert (result.details["genuine_pairs"], result.details["impostor_pairs"]) == (60, 60)
        assert result.metrics["tar_far_1e_2"] is None
        assert "100 impostor pairs: there are 60" in result.details["undefined"]["tar_far_1e_2"]
        assert result.details["rule"] == rule
        json.dumps([result.metrics, result.details], allow_nan=False)


def test_separated_pairs_are_all_decided_rightly_by_every_rule():
    # Person k has rows 2k and 2k + 1; the second half pairs each with a row of the next person.
    embedding = torch.eye(8).repeat_interleave(2, dim=0)
    first, second = torch.arange(0, 16, 2), torch.arange(1, 16, 2)
    pairs = torch.cat([torch.stack([first, second], 1), torch.stack([first, second.roll(1)], 1)])
    same = torch.tensor([True] * 8 + [False] * 8)
    fold = torch.arange(4).repeat(4)
    for rule in RULES:
        metrics = lfw(embedding, pairs, same, fold, rule=rule).metrics
        assert (metrics["pair_accuracy"], metrics["eer"]) == (1.0, 0.0)


def test_a_collapsed_model_decides_half_of_the_pairs_rightly():
    _, pairs, same, _ = listed()
    order = torch.stack([same.nonzero().flatten(), (~same).nonzero().flatten()], dim=1).flatten()
    metrics = lfw(torch.ones(40, 3), pairs[order], same[order], contiguous_folds(120, 10)).metrics
    assert metrics["pair_accuracy"] == 0.5
    assert metrics["tar_far_1e_1"] == 0.0


def test_concatenated_mirror_images_score_the_mean_of_two_cosines_and_sums_that_of_the_sums():
    embedding, pairs, same, fold = listed()
    mirrored = torch.randn(embedding.shape, generator=torch.Generator().manual_seed(1))
    both = with_mirror(embedding, mirrored, "concat")
    mean = [
        statistics.fmean(two)
        for two in zip(scores_of(embedding, pairs), scores_of(mirrored, pairs), strict=True)
    ]
    assert scores_of(both, pairs) == pytest.approx(mean, abs=1e-6)
    assert torch.equal(with_mirror(embedding, mirrored, "sum"), embedding + mirrored)
    assert torch.equal(with_mirror(embedding, mirrored, "none"), embedding)
    assert lfw(both, pairs, same, fold, flip="concat").details["flip"] == "concat"


def test_wrong_folds_rules_and_flips_are_refused_in_one_line():
    embedding, pairs, same, fold = listed()
    with pytest.raises(ValueError, match="1 fold: a threshold needs other folds"):
        lfw(embedding, pairs, same, torch.zeros_like(fold))
    with pytest.raises(ValueError, match="folds of 20 to 40 pairs"):
        lfw(embedding, pairs, same, fold.clamp(max=4))
    with pytest.raises(ValueError, match=r"fold is torch.int64 \(3,\)"):
        lfw(embedding, pairs, same, fold[:3])
    with pytest.raises(ValueError, match="rule=best: choose one of exact, insightface, sphereface"):
        lfw(embedding, pairs, same, fold, rule="best")
    with pytest.raises(ValueError, match="flip=mean: choose one of none, concat, sum"):
        lfw(embedding, pairs, same, fold, flip="mean")
    with pytest.raises(ValueError, match="flip=mean"):
        with_mirror(embedding, embedding, "mean")
    with pytest.raises(ValueError, match="differ"):
        with_mirror(embedding, embedding[:3], "sum")
    with pytest.raises(ValueError, match="pairs=7: cannot be cut into 3 folds"):
        contiguous_folds(7, 3)


def view2(rows):
    """pairs.txt: (6000, 2) row numbers, whether they show one person, and the fold."""
    pairs, same = [], []
    for line in (FOLDER / "pairs.txt").read_text().splitlines()[1:]:
        words = line.split("\t")
        one, other = (words[0], words[1]), (words[-2] if len(words) == 4 else words[0], words[-1])
        pairs.append([rows[f"{name}_{int(number):04d}"] for name, number in (one, other)])
        same.append(len(words) == 3)
    return torch.tensor(pairs), torch.tensor(same), contiguous_folds(len(pairs))


def thumbnails():
    """Every LFW image in grey: the whole crop at 48 x 48, and a tight box at 24 x 28."""
    from PIL import Image

    rows, whole, tight = {}, [], []
    with tarfile.open(FOLDER / "lfw_deepfunneled_crop144.tar.gz") as archive:
        for member in archive:
            if not member.name.endswith(".jpg"):
                continue
            image = Image.open(io.BytesIO(archive.extractfile(member).read())).convert("L")
            rows[Path(member.name).stem] = len(rows)
            whole.append(np.asarray(image.resize((48, 48), Image.Resampling.BILINEAR)))
            tight.append(
                np.asarray(image.resize((24, 28), Image.Resampling.BILINEAR, box=(29, 36, 125, 132)))
            )
    return rows, *(torch.from_numpy(np.stack(part)).float().reshape(len(rows), -1) for part in (whole, tight))


@pytest.mark.data
@pytest.mark.skipif(not FOLDER.is_dir(), reason="LOSSBENCH_DATA has no lfw")
def test_pixels_and_whitened_pixels_of_real_faces_reach_the_floors_measured_elsewhere():
    rows, whole, tight = thumbnails()
    pairs, same, fold = view2(rows)
    assert (len(rows), len(pairs), int(same.sum())) == (13233, 6000, 3000)
    assert lfw(whole, pairs, same, fold).metrics["auc"] == pytest.approx(0.654, abs=5e-4)
    centred = (tight - tight.mean(dim=0)).double()
    variance, axes = torch.linalg.eigh(centred.T @ centred / (len(rows) - 1))
    white = centred @ axes[:, -150:] / variance[-150:].sqrt()
    for rule in RULES:
        assert lfw(white, pairs, same, fold, rule=rule).metrics["pair_accuracy"] == pytest.approx(
            0.698, abs=7e-3
        )
