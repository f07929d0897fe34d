import json
import math

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_curve

from lossbench.functional.templates import Templates, pool_templates
from lossbench.protocols.ijb import _corners, ijb_identification, ijb_verification
from lossbench.readers import TemplatePairs, TemplateSubjects
from tests.functional import slow


def faces(subjects=14, templates=70, d=6, noise=0.7, seed=0):
    """Templates of one image each; template k * 10 shows subject k mod subjects."""
    generator = torch.Generator().manual_seed(seed)
    subject = torch.arange(templates) % subjects
    rows = torch.randn(subjects, d, generator=generator)[subject]
    rows = rows + noise * torch.randn(templates, d, generator=generator)
    ids = torch.arange(templates) * 10
    return pool_templates(rows, ids, torch.zeros_like(ids)), ids.numpy(), subject.numpy()


def all_pairs(ids, subject):
    first, second = np.triu_indices(len(ids), 1)
    return TemplatePairs(ids[first], ids[second], subject[first] == subject[second])


def scores_of(templates, first, second):
    rows = dict(zip(templates.template.tolist(), map(slow.unit, templates.rows.tolist()), strict=True))
    return np.array([slow.cosine(rows[a], rows[b]) for a, b in zip(first, second, strict=True)])


def chosen(ids, subject, which):
    return TemplateSubjects(ids[which], subject[which], len(which))


def test_verification_gives_the_largest_tar_within_the_far_and_beside_it_the_nearest_corner():
    templates, ids, subject = faces()
    pairs = all_pairs(ids, subject)
    fars = (0.1, 0.01, 0.001)
    result = ijb_verification(templates, pairs, flip=True, fars=fars)
    scores = scores_of(templates, pairs.first, pairs.second)
    genuine, impostor = scores[pairs.same], scores[~pairs.same]
    far, tar, _ = roc_curve(pairs.same, scores)
    corners = list(zip(far, tar, strict=True))[::-1]
    for target, name in zip(fars, ("1e_1", "1e_2", "1e_3"), strict=True):
        best = max(np.mean(genuine >= t) for t in [*scores, 2] if np.mean(impostor >= t) <= target)
        assert result.metrics[f"tar_far_{name}"] == pytest.approx(best)
        near = min(corners, key=lambda corner: abs(corner[0] - target))
        assert result.metrics[f"insightface/tar_far_{name}"] == pytest.approx(near[1])
        assert result.details["insightface"][f"insightface/tar_far_{name}"] == pytest.approx(near[0])
    assert result.details["flags"] == "N1D0F1"
    assert (result.details["templates"], result.details["media"], result.details["images"]) == (70, 70, 70)
    json.dumps([result.metrics, result.details], allow_nan=False)


@pytest.mark.parametrize("levels", [1, 2, 5, 1000])
def test_corners_are_those_of_scikit_learn_whatever_ties(levels):
    generator = torch.Generator().manual_seed(levels)
    scores = torch.randint(levels, (400,), generator=generator) / levels
    same = torch.rand(400, generator=generator) < 0.3 + 0.3 * scores
    far, tar, _ = roc_curve(same.numpy(), scores.numpy())
    found = _corners(scores, same)
    assert np.array_equal(found[0].numpy(), far[::-1])
    assert np.array_equal(found[1].numpy(), tar[::-1])


def test_the_nearest_corner_may_lie_above_the_target_and_the_exact_rule_never_does():
    # Two impostors above the second genuine pair: FAR can only be 0 or 2/3 there; 0.4 is nearer to 2/3.
    cosine = torch.tensor([1.0, 0.8, 0.7, 0.6, 0.1])
    rows = torch.cat([torch.tensor([[1.0, 0.0]]), torch.stack([cosine, (1 - cosine**2).sqrt()], 1)]).double()
    templates = Templates(torch.arange(6), rows, 6, 6, True, False)
    same = np.array([True, False, False, True, False])
    pairs = TemplatePairs(np.zeros(5, dtype=np.int64), np.arange(1, 6), same)
    result = ijb_verification(templates, pairs, flip=False, fars=(0.4,))
    assert result.metrics["tar_far_4e_1"] == 0.5
    assert result.metrics["insightface/tar_far_4e_1"] == 1.0
    assert result.details["insightface"]["insightface/tar_far_4e_1"] == pytest.approx(2 / 3)


def test_below_the_resolution_the_exact_rule_is_undefined_and_the_nearest_corner_has_no_false_accept():
    templates, ids, subject = faces()
    result = ijb_verification(templates, all_pairs(ids, subject), flip=False, fars=(1e-6,))
    assert result.metrics["tar_far_1e_6"] is None
    assert result.metrics["insightface/tar_far_1e_6"] is not None
    assert result.details["insightface"]["insightface/tar_far_1e_6"] == 0.0


def test_pairs_of_one_kind_leave_everything_undefined():
    templates, ids, _ = faces()
    pairs = all_pairs(ids, np.zeros(70))
    result = ijb_verification(templates, pairs, flip=False, fars=(0.1,))
    assert set(result.metrics.values()) == {None}


def searched(templates, gallery, probes):
    """For each probe (mate score or None, rank, best score) in loops; one template per subject enrolled."""
    found = []
    for template, subject in zip(probes.template, probes.subject, strict=True):
        scores = scores_of(templates, [template] * len(gallery.template), gallery.template)
        mates = [s for s, owner in zip(scores, gallery.subject, strict=True) if owner == subject]
        mate = mates[0] if mates else None
        rank = None if mate is None else sum(score >= mate for score in scores)
        found.append((mate, rank, max(scores)))
    return found


def test_identification_is_the_mean_of_both_galleries_where_the_others_probes_are_strangers():
    templates, ids, subject = faces()
    galleries = [chosen(ids, subject, np.arange(0, 7)), chosen(ids, subject, np.arange(7, 14))]
    probes = chosen(ids, subject, np.arange(14, 70))
    result = ijb_identification(templates, galleries, probes, flip=False, ranks=(1, 5), fpirs=(0.3, 0.1))
    rates = {"cmc_1": [], "cmc_5": [], "tpir_fpir_3e_1": [], "tpir_fpir_1e_1": []}
    for gallery in galleries:
        found = searched(templates, gallery, probes)
        mated = [(mate, rank) for mate, rank, _ in found if mate is not None]
        strangers = np.array([best for mate, _, best in found if mate is None])
        for r in (1, 5):
            rates[f"cmc_{r}"].append(np.mean([rank <= r for _, rank in mated]))
        for fpir, name in ((0.3, "3e_1"), (0.1, "1e_1")):
            fair = [t for t, _ in mated if np.mean(strangers >= t) <= fpir]
            rates[f"tpir_fpir_{name}"].append(np.mean([s >= min(fair, default=9) for s, _ in mated]))
    for name, values in rates.items():
        assert result.metrics[name] == pytest.approx(np.mean(values))
    facts = result.details["galleries"][0]
    assert (facts["entries"], facts["subjects"], facts["mated"], facts["non_mated"]) == (7, 7, 28, 28)
    assert facts["tpir_fpir_1e_1"]["achieved_fpir"] <= 0.1
    json.dumps([result.metrics, result.details], allow_nan=False)


def test_insightface_puts_the_galleries_together_and_counts_false_matches_instead_of_probes():
    templates, ids, subject = faces()
    galleries = [chosen(ids, subject, np.arange(0, 7)), chosen(ids, subject, np.arange(7, 14))]
    whole, probes = chosen(ids, subject, np.arange(0, 14)), chosen(ids, subject, np.arange(14, 70))
    result = ijb_identification(templates, galleries, probes, flip=False, ranks=(1, 5), fpirs=(0.3, 0.1))
    found = searched(templates, whole, probes)
    for r in (1, 5):
        assert result.metrics[f"insightface/cmc_{r}"] == np.mean([rank <= r for _, rank, _ in found])
    others = [
        score
        for template, owner in zip(probes.template, probes.subject, strict=True)
        for score, name in zip(
            scores_of(templates, [template] * 14, whole.template), whole.subject, strict=True
        )
        if name != owner
    ]
    for fpir, name in ((0.3, "3e_1"), (0.1, "1e_1")):
        t = sorted(others, reverse=True)[math.ceil(56 * fpir) - 1]
        assert result.metrics[f"insightface/tpir_fpir_{name}"] == np.mean([mate > t for mate, *_ in found])


def test_a_probe_enrolled_nowhere_is_a_stranger_to_all_and_leaves_insightface_undefined():
    templates, ids, subject = faces()
    galleries = [chosen(ids, subject, np.arange(0, 6)), chosen(ids, subject, np.arange(7, 14))]
    probes = chosen(ids, subject, np.arange(14, 70))
    result = ijb_identification(templates, galleries, probes, flip=False)
    assert result.metrics["tpir_fpir_1e_1"] is not None
    assert result.metrics["insightface/tpir_fpir_1e_1"] is None
    assert "4 of 56 probes have no mate" in result.details["undefined"]["insightface/cmc_1"]


def test_a_gallery_without_strangers_or_mates_is_named_in_the_reason():
    templates, ids, subject = faces()
    whole, probes = chosen(ids, subject, np.arange(14)), chosen(ids, subject, np.arange(14, 70))
    result = ijb_identification(templates, [whole], probes, flip=False)
    assert result.metrics["cmc_1"] is not None
    reason = result.details["undefined"]["tpir_fpir_1e_1"]
    assert reason == "gallery 1: no non-mated probe: every probe's identity is in the gallery"
    nobody = TemplateSubjects(ids[:3], np.array([97, 98, 99]), 3)
    result = ijb_identification(templates, [whole, nobody], probes, flip=False)
    assert "gallery 2: no mated probe" in result.details["undefined"]["cmc_1"]


def test_too_few_probes_for_an_fpir_leave_it_undefined():
    templates, ids, subject = faces()
    galleries = [chosen(ids, subject, np.arange(0, 7)), chosen(ids, subject, np.arange(7, 14))]
    probes = chosen(ids, subject, np.arange(14, 70))
    result = ijb_identification(templates, galleries, probes, flip=False, fpirs=(1e-3,))
    assert "at least 1,000 non-mated probes: there are 28" in result.details["undefined"]["tpir_fpir_1e_3"]


def test_unknown_templates_and_no_gallery_are_refused_in_one_line():
    templates, ids, subject = faces()
    probes = chosen(ids, subject, np.arange(14, 70))
    with pytest.raises(ValueError, match="1 templates have no image: the first is 5"):
        ijb_identification(templates, [TemplateSubjects(np.array([5]), np.array([0]), 1)], probes, flip=False)
    with pytest.raises(ValueError, match="galleries is empty"):
        ijb_identification(templates, [], probes, flip=False)
    pairs = TemplatePairs(np.array([0]), np.array([7]), np.array([True]))
    with pytest.raises(ValueError, match="the first is 7"):
        ijb_verification(templates, pairs, flip=False)
