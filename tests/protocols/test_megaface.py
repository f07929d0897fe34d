import json
import math

import numpy as np
import pytest
import torch

from lossbench.functional.bootstrap import identity_weights
from lossbench.protocols.megaface import megaface
from tests.functional import slow


def faces(identities=6, d=5, distractors=140, seed=0):
    """Identities of 1 to 6 images, and strangers."""
    generator = torch.Generator().manual_seed(seed)
    label = torch.arange(identities).repeat_interleave(torch.arange(1, identities + 1))
    label = label[torch.randperm(len(label), generator=generator)] * 3
    centre = torch.randn(3 * identities, d, generator=generator)
    probe = centre[label] + 0.7 * torch.randn(len(label), d, generator=generator)
    return probe, label, torch.randn(distractors, d, generator=generator)


def scored(probe, distractors):
    mine, others = ([slow.unit(row) for row in rows.tolist()] for rows in (probe, distractors))
    mates = [[float(slow.cosine(a, b)) for b in mine] for a in mine]
    return mates, [[float(slow.cosine(a, b)) for b in others] for a in mine]


def rates(mates, strangers, label, size, rank):
    """(weighted by trials, mean over identities): one trial after the other."""
    by_identity = {}
    for b, owner in enumerate(label):
        for a, other in enumerate(label):
            if a != b and owner == other:
                place = 1 + sum(score >= mates[b][a] for score in strangers[b][:size])
                by_identity.setdefault(owner, []).append(place <= rank)
    trials = [hit for hits in by_identity.values() for hit in hits]
    return np.mean(trials), np.mean([np.mean(hits) for hits in by_identity.values()])


def test_rates_at_every_size_are_those_of_one_gallery_per_trial():
    probe, label, distractors = faces()
    result = megaface(probe, label, distractors, cleaned=False, sizes=(10, 50, 140), ranks=(1, 4, 60))
    mates, strangers = scored(probe, distractors)
    for rank in (1, 4, 60):
        for k, size in enumerate((10, 50, 140)):
            weighted, macro = rates(mates, strangers, label.tolist(), size, rank)
            name = f"cmc_{rank}" if size == 140 else f"cmc_{rank}_distractors_{size}"
            assert result.metrics[name] == pytest.approx(weighted, abs=1e-15)
            assert result.metrics[f"macro/{name}"] == pytest.approx(macro, abs=1e-15)
            assert result.curves[f"ladder_cmc_{rank}"][k] == result.metrics[name]
    # Identities of 1 to 6 images have M(M - 1) trials each.
    assert (result.details["trials"], result.details["genuine_pairs"]) == (70, 35)
    assert (result.details["identities"], result.details["probes"]) == (5, 21)
    assert result.metrics["cmc_1"] < result.metrics["cmc_1_distractors_10"] <= 1
    json.dumps([result.metrics, result.details], allow_nan=False)


def test_verification_counts_probes_against_distractors_and_nothing_else():
    probe, label, distractors = faces()
    fars = (0.1, 0.01, 1e-3)
    result = megaface(probe, label, distractors, cleaned=True, fars=fars)
    mates, strangers = scored(probe, distractors)
    genuine = [
        (mates[i][j], int(label[i])) for i in range(len(label)) for j in range(i) if label[i] == label[j]
    ]
    impostor = np.array(strangers).flatten()
    for far, name in zip(fars, ("1e_1", "1e_2", "1e_3"), strict=True):
        fair = [t for t, _ in genuine if np.mean(impostor >= t) <= far]
        t = min(fair, default=math.inf)
        hits = {}
        for score, owner in genuine:
            hits.setdefault(owner, []).append(score >= t)
        assert result.metrics[f"tar_far_{name}"] == pytest.approx(np.mean([s >= t for s, _ in genuine]))
        assert result.metrics[f"macro/tar_far_{name}"] == pytest.approx(
            np.mean([np.mean(hit) for hit in hits.values()])
        )
        point = result.details[f"tar_far_{name}"]
        assert (point["threshold"], point["impostors"]) == (t, 21 * 140)
        assert point["achieved_far"] == pytest.approx(np.mean(impostor >= t))
        assert point["false_accepts"] == (impostor >= t).sum()
    assert (result.details["cleaned"], result.details["impostor_pairs"]) == (True, 21 * 140)


def test_replicates_weigh_probes_as_their_people_and_keep_the_distractors():
    probe, label, distractors = faces()
    weights = identity_weights(6, replicates=4, seed=3)
    result = megaface(probe, label, distractors, cleaned=False, fars=(0.1, 0.01), weights=weights)
    mates, strangers = scored(probe, distractors)
    column = {name: place for place, name in enumerate(sorted(set(label.tolist())))}
    owner = [column[name] for name in label.tolist()]
    for r, weight in enumerate(weights.tolist()):
        trials = [(b, a) for b in range(21) for a in range(21) if a != b and owner[a] == owner[b]]
        found = sum(weight[owner[b]] * (max(strangers[b]) < mates[b][a]) for b, a in trials)
        expected = found / sum(weight[owner[b]] for b, _ in trials)
        assert result.replicates["cmc_1"][r] == pytest.approx(expected)
        for far, name in ((0.1, "tar_far_1e_1"), (0.01, "tar_far_1e_2")):
            most = far * 140 * sum(weight[own] for own in owner) * (1 + 1e-12)
            fair = [
                t
                for t in (mates[b][a] for b, a in trials)
                if sum(weight[owner[b]] * sum(s >= t for s in strangers[b]) for b in range(21)) <= most
            ]
            t = min(fair, default=math.inf)
            passed = sum(weight[owner[b]] * (mates[b][a] >= t) for b, a in trials)
            assert result.replicates[name][r] == pytest.approx(
                passed / sum(weight[owner[b]] for b, _ in trials)
            )


def test_people_who_all_weigh_one_give_the_rates_themselves():
    ones = torch.ones(1, 6, dtype=torch.int16)
    result = megaface(*faces(), cleaned=False, fars=(0.1, 0.01), weights=ones)
    assert result.replicates.keys() == {
        "cmc_1", "cmc_10", *(f"{kind}tar_far_1e_{k}" for kind in ("", "macro/") for k in (1, 2))
    }  # fmt: skip
    for name, values in result.replicates.items():
        assert values == pytest.approx([result.metrics[name]])


def hand(*cosines):
    """Probes of one identity at angle 0 and 60 degrees, and distractors with these cosines to the first."""
    probe = torch.tensor([[1.0, 0.0], [0.5, 0.75**0.5]])
    others = torch.tensor([[c, -math.sqrt(1 - c * c)] for c in cosines])
    return probe, torch.tensor([4, 4]), others


def test_a_ladder_counted_by_hand():
    # Cosines to probe one: 0.9, 0.7, 0.1; the mate has 0.5. Probe two is more than 60 degrees from all.
    result = megaface(*hand(0.1, 0.9, 0.7), cleaned=False, sizes=(1, 2, 3), ranks=(1, 2, 3), fars=())
    assert [result.curves[f"ladder_cmc_{rank}"].tolist() for rank in (1, 2, 3)] == [
        [1.0, 0.5, 0.5],
        [1.0, 1.0, 0.5],
        [1.0, 1.0, 1.0],
    ]


def test_other_probes_are_not_in_the_gallery():
    probe = torch.tensor([[1.0, 0.0], [0.8, 0.6], [1.0, 0.0], [0.8, 0.6]])
    result = megaface(probe, torch.tensor([0, 0, 1, 1]), torch.tensor([[-1.0, 0.0]]), cleaned=False, fars=())
    # Each probe has a copy of itself under the other name, and still finds its mate first.
    assert result.metrics["cmc_1"] == 1.0


def test_a_distractor_that_ties_with_the_mate_beats_it():
    probe, label, _ = hand()
    result = megaface(probe, label, probe[1:], cleaned=False, ranks=(1, 2), fars=())
    # Probe one scores 0.5 with its mate and with the mate's copy; probe two scores 1 with its own copy.
    assert (result.metrics["cmc_1"], result.metrics["cmc_2"]) == (0.0, 1.0)


def test_probes_copied_among_the_distractors_are_told():
    probe, label, distractors = faces()
    mixed = torch.cat([distractors, 5 * probe[[2, 7]]])
    assert megaface(probe, label, distractors, cleaned=False).details["copies"] == 0
    assert megaface(probe, label, mixed, cleaned=False).details["copies"] == 2


def test_the_default_ladder_has_the_powers_of_ten_and_the_end():
    result = megaface(*faces(), cleaned=False)
    assert result.details["sizes"] == [10, 100, 140]
    assert {"cmc_1_distractors_10", "cmc_1_distractors_100", "cmc_1"} <= set(result.metrics)


def test_identities_of_one_image_are_no_trial_and_all_is_undefined_without_others():
    result = megaface(torch.randn(3, 4), torch.arange(3), torch.randn(20, 4), cleaned=False)
    assert set(result.metrics.values()) == {None}
    assert "no identity has two images" in result.details["undefined"]["cmc_1"]


def test_without_distractors_all_is_undefined():
    result = megaface(torch.randn(4, 3), torch.arange(4) // 2, torch.randn(0, 3), cleaned=False)
    assert set(result.metrics.values()) == {None}
    assert set(result.details["undefined"].values()) == {"no distractors: every mate is alone in its gallery"}


def test_a_far_below_the_resolution_is_undefined():
    result = megaface(*faces(), cleaned=False, fars=(1e-4,))
    assert result.metrics["tar_far_1e_4"] is None
    assert "10,000 impostor pairs: there are 2,940" in result.details["undefined"]["macro/tar_far_1e_4"]


def test_a_collapsed_model_finds_nobody():
    metrics = megaface(torch.ones(6, 3), torch.arange(6) // 2, torch.ones(200, 3), cleaned=False).metrics
    assert (metrics["cmc_1"], metrics["cmc_10"]) == (0.0, 0.0)
    assert metrics["cmc_10_distractors_10"] == 0.0


def test_wrong_labels_and_numbers_are_refused_in_one_line():
    probe, label, distractors = faces()
    with pytest.raises(ValueError, match="label has negative values"):
        megaface(probe, label - 1, distractors, cleaned=False)
    with pytest.raises(ValueError, match="rank=0"):
        megaface(probe, label, distractors, cleaned=False, ranks=(0,))
    with pytest.raises(ValueError, match="far=2"):
        megaface(probe, label, distractors, cleaned=False, fars=(2,))
    with pytest.raises(ValueError, match="at most 140 distractors"):
        megaface(probe, label, distractors, cleaned=False, sizes=(10, 141))
