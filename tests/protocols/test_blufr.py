import json
import math

import numpy as np
import pytest
import torch

from lossbench.functional.bootstrap import identity_weights
from lossbench.protocols.blufr import blufr
from lossbench.protocols.blufr_trials import draw_trials
from lossbench.readers import BlufrTrial
from tests.functional import slow


def faces(identities=30, each=5, d=4, noise=0.8, seed=0):
    """Identities of 1 to 2 * each - 1 images."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(1, 2 * each, (identities,), generator=generator)
    label = torch.arange(identities).repeat_interleave(images)
    centre = torch.randn(identities, d, generator=generator)
    return centre[label] + noise * torch.randn(len(label), d, generator=generator), label


def matrix(embedding, left, right):
    rows = [slow.unit(row) for row in embedding.tolist()]
    return np.array([[slow.cosine(rows[i], rows[j]) for j in right] for i in left])


def toolkit_threshold(genuine, impostor, far):
    """The toolkit's steps, in its order."""
    ranked = np.sort(impostor)[::-1]
    alarms = math.floor(far * len(ranked) + 0.5)
    if alarms == 0:
        above = genuine[genuine > ranked[0]]
        return (float(ranked[0]) + float(above.min())) / 2 if len(above) else float(ranked[0]) + 2.0**-26
    if alarms == len(ranked):
        return min(ranked[-1], genuine.min()) - 2.0**-26
    return float(ranked[alarms - 1])


def best_threshold(genuine, impostor, far):
    fair = [t for t in {*genuine.tolist()} if np.mean(impostor >= t) <= far]
    return min(fair, default=math.inf)


def by_hand(embedding, label, trial, far, open_far, rule):
    """(micro, macro, threshold, dir, dir threshold) of one trial from full score matrices."""
    test, owner = trial.test, label.numpy()[trial.test]
    scores = matrix(embedding, test, test)
    upper = np.triu(np.ones_like(scores, dtype=bool), 1)
    same = owner[:, None] == owner
    genuine, impostor = scores[upper & same], scores[upper & ~same]
    t = rule(genuine, impostor, far)
    shares = [
        np.mean(scores[upper & same & (owner == name)[:, None]] >= t)
        for name in np.unique(owner)
        if (owner == name).sum() > 1
    ]
    scores = matrix(embedding, trial.probe, trial.gallery)
    known = label.numpy()[trial.probe][:, None] == label.numpy()[trial.gallery]
    mated = known.any(axis=1)
    mate = np.where(known, scores, -np.inf).max(axis=1)[mated]
    rank = 1 + ((scores >= np.where(known, scores, -np.inf).max(axis=1)[:, None]) & ~known).sum(axis=1)[mated]
    strangers = scores[~mated].max(axis=1)
    found = mate if rule is toolkit_threshold else mate[rank == 1]
    limit = rule(found, strangers, open_far)
    rate = np.mean((mate >= limit) & (rank == 1))
    return np.mean(genuine >= t), np.mean(shares), t, rate, limit


FARS, OPEN = (0.05, 0.004), 0.1


@pytest.mark.parametrize(("prefix", "rule"), [("", best_threshold), ("blufr/", toolkit_threshold)])
def test_rates_of_every_trial_are_those_of_full_score_matrices(prefix, rule):
    embedding, label = faces()
    trials = draw_trials(label, trials=3)
    result = blufr(embedding, label, trials, fars=FARS, open_set_fars=(OPEN,))
    for far, name in zip(FARS, ("5e_2", "4e_3"), strict=True):
        expected = [by_hand(embedding, label, trial, far, OPEN, rule) for trial in trials]
        for key, column in ((f"tar_far_{name}", 0), (f"macro/tar_far_{name}", 1), ("dir_far_1e_1", 3)):
            found = [trial[prefix + key]["value"] for trial in result.details["per_trial"]]
            values = [row[column] for row in expected]
            assert found == pytest.approx(values, abs=1e-12)
            assert result.metrics[f"{prefix}{key}_mean"] == pytest.approx(np.mean(values))
            assert result.metrics[f"{prefix}{key}_std"] == pytest.approx(np.std(values, ddof=1))
            assert result.metrics[f"{prefix}{key}_mean_minus_std"] == pytest.approx(
                np.mean(values) - np.std(values, ddof=1)
            )
        told = [trial[f"{prefix}tar_far_{name}"]["threshold"] for trial in result.details["per_trial"]]
        assert told == pytest.approx([row[2] for row in expected])


def test_realised_far_is_counted_at_the_mean_threshold_of_the_other_trials():
    embedding, label = faces()
    trials = draw_trials(label, trials=3)
    result = blufr(embedding, label, trials, fars=FARS, open_set_fars=(OPEN,))
    rates, stranger_rates = [], []
    for i, trial in enumerate(trials):
        others = [other for k, other in enumerate(trials) if k != i]
        tuned = [by_hand(embedding, label, other, 0.05, OPEN, best_threshold) for other in others]
        owner = label.numpy()[trial.test]
        scores = matrix(embedding, trial.test, trial.test)
        impostor = scores[np.triu(owner[:, None] != owner, 1)]
        rates.append(np.mean(impostor >= np.mean([row[2] for row in tuned])))
        scores = matrix(embedding, trial.probe, trial.gallery)
        unknown = ~np.isin(label.numpy()[trial.probe], label.numpy()[trial.gallery])
        stranger_rates.append(np.mean(scores[unknown].max(axis=1) >= np.mean([row[4] for row in tuned])))
    assert result.metrics["realised_far_5e_2_mean"] == pytest.approx(np.mean(rates))
    assert result.metrics["realised_far_5e_2_max"] == pytest.approx(max(rates))
    assert result.metrics["realised_dir_far_1e_1_mean"] == pytest.approx(np.mean(stranger_rates))


def weighted_rate(genuine, impostor, far, total):
    """Largest share of genuine (score, weight), of weight ``total``, with a weighted FAR within the limit."""
    alarms = sum(weight for _, weight in impostor)
    fair = [t for t, _ in genuine if sum(w for s, w in impostor if s >= t) <= far * alarms * (1 + 1e-12)]
    return sum(w for s, w in genuine if s >= min(fair, default=math.inf)) / total


def test_replicates_weigh_people_alike_in_every_trial_and_keep_its_gallery():
    embedding, label = faces()
    trials = draw_trials(label, trials=2)
    weights = identity_weights(30, replicates=3, seed=1)
    result = blufr(embedding, label, trials, fars=(0.05,), open_set_fars=(OPEN,), weights=weights)
    for r, weight in enumerate(weights.numpy().astype(float)):
        tar, dir_rate = [], []
        for trial in trials:
            scores, owner = matrix(embedding, trial.test, trial.test), label.numpy()[trial.test]
            pairs = [(i, j) for i in range(len(owner)) for j in range(i)]
            genuine = [(scores[i, j], weight[owner[i]]) for i, j in pairs if owner[i] == owner[j]]
            both = [(i, j, weight[owner[i]] * weight[owner[j]]) for i, j in pairs if owner[i] != owner[j]]
            impostor = [(scores[i, j], w) for i, j, w in both]
            tar.append(weighted_rate(genuine, impostor, 0.05, sum(w for _, w in genuine)))
            scores, owner = matrix(embedding, trial.probe, trial.gallery), label.numpy()[trial.probe]
            known = owner[:, None] == label.numpy()[trial.gallery]
            mated, found, strangers = 0.0, [], []
            for row, own, w in zip(scores, known, weight[owner], strict=True):
                if own.any():
                    mated += w
                    found += [(row[own].max(), w)] if (row >= row[own].max()).sum() == 1 else []
                else:
                    strangers.append((row.max(), w))
            dir_rate.append(weighted_rate(found, strangers, OPEN, mated))
        assert result.replicates["tar_far_5e_2_mean"][r] == pytest.approx(np.mean(tar))
        assert result.replicates["dir_far_1e_1_mean"][r] == pytest.approx(np.mean(dir_rate))


def test_people_who_all_weigh_one_give_the_rates_themselves():
    embedding, label = faces()
    ones = torch.ones(1, 30, dtype=torch.int16)
    result = blufr(
        embedding, label, draw_trials(label, trials=3), fars=FARS, open_set_fars=(OPEN,), weights=ones
    )
    assert {name for name in result.replicates if name.startswith("macro/")}
    for name, values in result.replicates.items():
        assert values == pytest.approx([result.metrics[name]])


def hand():
    """Three people on a line of angles: A 0, 10 and 20 degrees, B 90 and 100, C 180 alone."""
    angle = torch.tensor([0.0, 10, 20, 90, 100, 180]) * math.pi / 180
    label = torch.tensor([0, 0, 0, 1, 1, 2])
    rows = torch.stack([angle.cos(), angle.sin()], dim=1)
    everything = np.arange(6)
    trial = BlufrTrial(everything[:0], everything, np.array([0, 3]), np.array([1, 2, 4, 5]))
    return rows, label, trial


def test_a_trial_counted_by_hand():
    rows, label, trial = hand()
    # Genuine: A has cos 10, 10, 20, B has cos 10. Impostors: 11 pairs, the nearest 70, 80, 80 degrees apart.
    result = blufr(rows, label, [trial, trial], fars=(0.1,), open_set_fars=(1.0,))
    assert "no error of their mean" in result.details["spread"]
    (facts, _) = result.details["per_trial"]
    assert (facts["genuine_pairs"], facts["impostor_pairs"]) == (4, 11)
    assert (facts["gallery"], facts["mated_probes"], facts["non_mated_probes"]) == (2, 3, 1)
    assert facts["largest_genuine_share"] == 0.75
    assert result.metrics["tar_far_1e_1_mean"] == 1.0
    assert result.metrics["tar_far_1e_1_std"] == 0.0
    # The toolkit rounds 1.1 to one false accept, at 70 degrees.
    assert facts["blufr/tar_far_1e_1"] == {
        "value": 1.0,
        "threshold": pytest.approx(math.cos(math.radians(70))),
        "achieved_far": 1 / 11,
    }
    assert result.metrics["dir_far_1e_0_mean"] == 1.0
    json.dumps([result.metrics, result.details], allow_nan=False)


def test_macro_rates_weigh_people_alike_and_micro_rates_weigh_pairs():
    rows, label, trial = hand()
    # B's second image moves to 170 degrees, beside C: one false accept at 10 degrees is allowed, a second one
    # at 70 is not, so B's only pair at 80 degrees is refused and A's three stay.
    rows[4] = torch.tensor([math.cos(math.radians(170)), math.sin(math.radians(170))])
    metrics = blufr(rows, label, [trial, trial], fars=(0.1,), open_set_fars=(1.0,)).metrics
    assert (metrics["tar_far_1e_1_mean"], metrics["macro/tar_far_1e_1_mean"]) == (0.75, 0.5)


def test_a_rate_below_the_resolution_is_undefined_by_the_exact_rule_and_zero_accepts_by_the_toolkits():
    rows, label, trial = hand()
    result = blufr(rows, label, [trial, trial], fars=(0.01,), open_set_fars=(0.5,))
    assert result.metrics["tar_far_1e_2_mean"] is None
    assert "trial 1: FAR 0.01 needs at least 100" in result.details["undefined"]["tar_far_1e_2_mean"]
    assert result.metrics["blufr/tar_far_1e_2_mean"] == 1.0
    assert result.details["per_trial"][0]["blufr/tar_far_1e_2"]["achieved_far"] == 0
    assert result.metrics["realised_far_1e_2_mean"] is None


def test_one_trial_has_a_mean_and_no_spread():
    rows, label, trial = hand()
    metrics = blufr(rows, label, [trial], fars=(0.1,), open_set_fars=(1.0,)).metrics
    assert metrics["tar_far_1e_1_mean"] == 1.0
    for name in ("tar_far_1e_1_std", "tar_far_1e_1_mean_minus_std", "realised_far_1e_1_mean"):
        assert metrics[name] is None


def test_identities_of_one_image_make_no_genuine_pair_and_nothing_is_defined():
    rows, _, trial = hand()
    result = blufr(rows, torch.arange(6), [trial, trial], fars=(0.1,), open_set_fars=(0.5,))
    assert set(result.metrics.values()) == {None}


def test_a_threshold_from_an_easier_trial_may_run_past_the_scores_kept():
    generator = torch.Generator().manual_seed(0)
    label = torch.arange(40).repeat_interleave(3)
    far_apart = torch.eye(40)[label] + 0.15 * torch.randn(120, 40, generator=generator)
    close = far_apart + 3
    both, names = torch.cat([far_apart, close]), torch.cat([label, label + 40])
    rows = np.arange(240)
    trials = [
        BlufrTrial(rows[:0], part, part[::3], np.setdiff1d(part, part[::3])) for part in np.split(rows, 2)
    ]
    result = blufr(both, names, trials, fars=(0.01,), open_set_fars=())
    assert result.metrics["realised_far_1e_2_mean"] is None
    assert "trial 2: FAR is more than 5 times" in result.details["undefined"]["realised_far_1e_2_mean"]


def test_drawn_trials_part_the_images_as_blufr_does():
    _, label = faces(identities=200, each=3)
    trials = draw_trials(label, trials=4, seed=2)
    for trial in trials:
        train, test, gallery, probe = (set(rows.tolist()) for rows in vars(trial).values())
        assert train | test == set(range(len(label)))
        assert not train & test
        assert gallery | probe == test
        assert not gallery & probe
        names = [set(label[list(part)].tolist()) for part in (train, test, gallery)]
        assert not names[0] & names[1]
        assert len(names[1]) == 200 - round(200 * 1500 / 5749)
        assert len(gallery) == len(names[2]) == round(len(names[1]) * 1000 / 4249)
        # Every enrolled identity has a genuine probe.
        assert names[2] <= set(label[list(probe)].tolist())
    again, other = draw_trials(label, trials=4, seed=2), draw_trials(label, trials=4, seed=3)
    assert all(np.array_equal(a.gallery, b.gallery) for a, b in zip(trials, again, strict=True))
    assert not np.array_equal(trials[0].test, other[0].test)
    assert not np.array_equal(trials[0].test, trials[1].test)


def test_every_image_of_an_identity_can_be_drawn_into_the_gallery():
    label = torch.arange(30) // 3
    drawn = {row for trial in draw_trials(label, trials=60, train_share=0) for row in trial.gallery.tolist()}
    assert drawn == set(range(30))


def test_wrong_trials_are_refused_in_one_line():
    rows, label, trial = hand()
    with pytest.raises(ValueError, match="trials is empty"):
        blufr(rows, label, [])
    wrong = BlufrTrial(trial.train, np.array([0, 6]), trial.gallery, trial.probe)
    with pytest.raises(ValueError, match=r"1 rows of a trial lie outside 0\.\.5"):
        blufr(rows, label, [wrong])
    with pytest.raises(ValueError, match="asks for 2 identities with two images, 0 of 10"):
        draw_trials(torch.arange(10), train_share=0)
    with pytest.raises(ValueError, match="label has negative values"):
        draw_trials(torch.tensor([-1, 0, 0]))
    with pytest.raises(ValueError, match="gallery_share=0"):
        draw_trials(label, gallery_share=0)
