import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lossbench.functional import cmc_curve, lineup, rank_at
from tests.functional import slow


def faces(n=50, d=9, identities=14, seed=0):
    generator = torch.Generator().manual_seed(seed)
    label = torch.randint(identities, (n,), generator=generator)
    centre = torch.randn(identities, d, generator=generator)
    return centre[label] + torch.randn(n, d, generator=generator), label


def galleries(label, draws, seed):
    """The documented draw, one identity at a time: the share-th image in the order of the rows."""
    rows = {
        i: [r for r, owner in enumerate(label.tolist()) if owner == i] for i in sorted(set(label.tolist()))
    }
    rows = {identity: images for identity, images in rows.items() if identity >= 0}
    several = [identity for identity, images in rows.items() if len(images) > 1]
    generator = torch.Generator().manual_seed(seed)
    for _ in range(draws):
        share = torch.rand(len(several), generator=generator, dtype=torch.float64).tolist()
        drawn = {i: rows[i][int(s * len(rows[i]))] for i, s in zip(several, share, strict=True)}
        yield {identity: drawn.get(identity, images[0]) for identity, images in rows.items()}


def brute(embedding, label, distractors, ranks, draws, seed):
    drawn = list(galleries(label, draws, seed))
    return slow.cmc(embedding.tolist(), label.tolist(), drawn, distractors.tolist(), ranks)


@pytest.mark.parametrize("strangers", [0, 23])
def test_rates_are_those_of_loops_over_the_same_galleries(strangers):
    embedding, label = faces()
    distractors = torch.randn(strangers, 9, generator=torch.Generator().manual_seed(5))
    curve = cmc_curve(embedding, label, distractors=distractors, ranks=20, draws=4, seed=3)
    expected = brute(embedding, label, distractors, 20, 4, 3)
    assert curve.rates.tolist() == pytest.approx(expected.tolist(), abs=1e-15)
    assert curve.gallery == len(label.unique()) + strangers


@pytest.mark.parametrize("noise", [0.1, 3.0])
def test_dropping_probes_whose_rank_is_decided_changes_no_rate(monkeypatch, noise):
    embedding, label = faces(n=120, identities=30)
    embedding += noise * torch.randn(embedding.shape, generator=torch.Generator().manual_seed(1))
    distractors = torch.randn(200, 9, generator=torch.Generator().manual_seed(5))
    expected = brute(embedding, label, distractors, 3, 4, 0)
    monkeypatch.setattr(lineup, "_ENTRIES", 1)
    for first in (1, 7, 10**6):
        monkeypatch.setattr(lineup, "_FIRST", first)
        curve = cmc_curve(embedding, label, distractors=distractors, ranks=3, draws=4)
        assert curve.rates.tolist() == pytest.approx(expected.tolist(), abs=1e-15)


@given(
    st.lists(
        st.tuples(st.integers(-1, 3), st.lists(st.integers(-1, 1), min_size=2, max_size=2)),
        min_size=1,
        max_size=12,
    ),
    st.integers(1, 13),
    st.integers(0, 3),
)
@settings(deadline=None, max_examples=60, derandomize=True)
def test_ties_distractors_and_any_block_agree_with_loops(rows, block, strangers):
    label = torch.tensor([r[0] for r in rows])
    embedding = torch.tensor([r[1] for r in rows], dtype=torch.float32)
    distractors = torch.ones(strangers, 2)
    curve = cmc_curve(embedding, label, distractors=distractors, ranks=5, draws=3, block=block)
    if curve.reason is None:
        expected = brute(embedding, label, distractors, 5, 3, 0)
        assert curve.rates.tolist() == pytest.approx(expected.tolist(), abs=1e-15)
    else:
        assert curve.rates.isnan().all()


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("block", [1, 5, 16, 32])
@pytest.mark.parametrize("ranks", [1, 3, 60])
def test_screened_galleries_give_the_rates_of_loops(half, block, ranks, monkeypatch):
    monkeypatch.setattr("lossbench.functional.lineup._ENTRIES", 0)
    monkeypatch.setattr("lossbench.functional.tile_screen._FEW", 0)
    if not half:
        monkeypatch.setattr("lossbench.functional.tile_screen.bf16_products_hold", lambda device: False)
    embedding, label = faces(identities=20)
    embedding[:5], label[:3] = embedding[7], -1
    distractors = torch.randn(97, 9, generator=torch.Generator().manual_seed(5)).half()
    distractors[:2] = embedding[7]
    array = distractors.numpy() if block == 16 else distractors
    curve = cmc_curve(embedding, label, distractors=array, ranks=ranks, draws=3, block=block)
    expected = brute(embedding, label, distractors, ranks, 3, 0)
    assert curve.rates.tolist() == pytest.approx(expected.tolist(), abs=1e-15)


def test_the_number_of_threads_changes_no_rate():
    embedding, label = faces(n=300, d=16, identities=60)
    distractors = torch.randn(3000, 16, generator=torch.Generator().manual_seed(2))
    one = cmc_curve(embedding, label, distractors=distractors, ranks=20, block=64)
    torch.set_num_threads(3)
    try:
        assert torch.equal(
            cmc_curve(embedding, label, distractors=distractors, ranks=20, block=64).rates, one.rates
        )
    finally:
        torch.set_num_threads(1)


@pytest.mark.parametrize("noise", [0.1, 10.0])
def test_good_and_poor_models_are_ranked_as_loops_rank_them(noise):
    """Few entries beat a mate, or most: two ways to count them."""
    embedding, label = faces(n=60, identities=14)
    embedding += noise * torch.randn(60, 9, generator=torch.Generator().manual_seed(1))
    curve = cmc_curve(embedding, label, ranks=20, draws=4, block=16)
    expected = brute(embedding, label, torch.ones(0, 9), 20, 4, 0)
    assert curve.rates.tolist() == pytest.approx(expected.tolist(), abs=1e-15)


def test_large_galleries_are_screened_and_give_the_rates_of_all_scores(monkeypatch):
    generator = torch.Generator().manual_seed(2)
    embedding, label = faces(n=300, d=16, identities=60)
    distractors = torch.randn(9000, 16, generator=generator)
    screened = cmc_curve(embedding, label, distractors=distractors, ranks=20)
    monkeypatch.setattr("lossbench.functional.lineup._ENTRIES", 10**9)
    assert torch.equal(cmc_curve(embedding, label, distractors=distractors, ranks=20).rates, screened.rates)


def test_negative_labels_and_the_distractors_argument_mean_the_same():
    embedding, label = faces()
    strangers = torch.randn(7, 9)
    inside = cmc_curve(torch.cat([strangers, embedding]), torch.cat([torch.full((7,), -1), label]))
    outside = cmc_curve(embedding, label, distractors=strangers)
    assert torch.equal(inside.rates, outside.rates)
    assert (inside.gallery, inside.distractors) == (outside.gallery, outside.distractors)
    assert outside.distractors == 7


def test_a_distractor_that_ties_with_the_mate_beats_it():
    embedding, label = torch.eye(3)[[0, 0, 1, 1]], torch.tensor([0, 0, 1, 1])
    alone = cmc_curve(embedding, label, ranks=2)
    tied = cmc_curve(embedding, label, ranks=2, distractors=torch.eye(3)[[0]])
    assert alone.rates.tolist() == [1.0, 1.0]
    assert tied.rates.tolist() == [0.5, 1.0]


def test_a_collapsed_model_finds_nobody_before_the_last_rank():
    curve = cmc_curve(torch.ones(20, 4), torch.arange(20) % 5, ranks=6)
    assert curve.rates.tolist() == [0, 0, 0, 0, 1, 1]


def test_an_identity_with_one_image_stays_in_the_gallery():
    embedding = torch.tensor([[1.0, 0.0], [0.8, 0.6], [1.0, 0.0], [0.8, 0.6]])
    curve = cmc_curve(embedding, torch.tensor([0, 0, 1, 2]), ranks=3)
    assert (curve.gallery, curve.probes) == (3, 1)
    # Whichever image is the probe, one other identity is its copy and the other a copy of its mate: a tie.
    assert curve.rates.tolist() == [0, 0, 1]


def test_the_block_size_changes_no_rate():
    embedding, label = faces()
    distractors = torch.randn(11, 9)
    whole = cmc_curve(embedding, label, distractors=distractors).rates
    for block in range(1, 52, 5):
        assert torch.equal(cmc_curve(embedding, label, distractors=distractors, block=block).rates, whole)


def test_the_order_of_identities_and_their_names_changes_no_rate():
    embedding, label = faces()
    order = label.argsort(stable=True, descending=True)
    whole = cmc_curve(embedding, label).rates
    assert torch.equal(cmc_curve(embedding[order], label[order]).rates, whole)
    assert torch.equal(cmc_curve(embedding, 3 * label + 2**40).rates, whole)


def test_the_same_seed_draws_the_same_galleries_and_another_seed_others():
    embedding, label = faces()
    rates = [cmc_curve(embedding, label, draws=1, seed=seed).rates for seed in (0, 0, 1)]
    assert torch.equal(rates[0], rates[1])
    assert not torch.equal(rates[0], rates[2])


def test_the_global_random_state_is_neither_read_nor_moved():
    embedding, label = faces()
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = cmc_curve(embedding, label).rates
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert torch.equal(cmc_curve(embedding, label).rates, first)


def test_without_probes_rates_are_nan_with_a_reason():
    curve = cmc_curve(torch.randn(3, 2), torch.tensor([0, 1, -1]), ranks=4)
    assert curve.rates.isnan().all()
    assert curve.reason == "no probe: no identity has two images"
    assert (curve.probes, curve.gallery) == (0, 3)
    assert math.isnan(rank_at(curve, 1))
    assert math.isnan(rank_at(curve, 50))


def test_no_rows_at_all_are_no_probes():
    assert cmc_curve(torch.ones(0, 2), torch.zeros(0, dtype=torch.int64)).reason


def test_a_rank_as_large_as_the_gallery_is_always_found():
    curve = cmc_curve(*faces(), ranks=3)
    assert rank_at(curve, 2) == float(curve.rates[1])
    assert rank_at(curve, curve.gallery) == 1.0
    with pytest.raises(ValueError, match=r"r=5: the curve ends at rank 3"):
        rank_at(curve, 5)


def test_rows_that_are_not_finite_are_refused_in_both_sets():
    embedding, label = faces()
    with pytest.raises(ValueError, match="1 of 2 embedding rows hold NaN"):
        cmc_curve(embedding, label, distractors=torch.tensor([[1.0] * 9, [math.nan] * 9]))
    embedding[4, 4] = math.nan
    with pytest.raises(ValueError, match="1 of 50 embedding rows hold NaN"):
        cmc_curve(embedding, label)


def test_wrong_shapes_and_numbers_are_refused_in_one_line():
    embedding, label = faces()
    with pytest.raises(ValueError, match="distractors have 3 columns: embeddings 9"):
        cmc_curve(embedding, label, distractors=torch.ones(2, 3))
    with pytest.raises(ValueError, match=r"distractors has shape \(9,\)"):
        cmc_curve(embedding, label, distractors=torch.ones(9))
    with pytest.raises(ValueError, match="50 embeddings but labels"):
        cmc_curve(embedding, label[:-1])
    for name in ("ranks", "draws", "block"):
        with pytest.raises(ValueError, match=f"{name}=0"):
            cmc_curve(embedding, label, **{name: 0})


@pytest.mark.parametrize("probes", [4096, 7])
def test_successes_are_counted_for_each_identity(probes, monkeypatch):
    monkeypatch.setattr("lossbench.functional.lineup._PROBES", probes)
    embedding, label = faces(identities=20)
    label = 3 * label
    curve = cmc_curve(embedding, label, ranks=6, draws=4, seed=3)
    names, images = label.unique(return_counts=True)
    assert torch.equal(curve.identities, names[images > 1])
    assert torch.equal(curve.trials, 4 * (images[images > 1] - 1))
    rows, drawn = [slow.unit(row) for row in embedding.tolist()], list(galleries(label, 4, 3))
    for identity, found in zip(curve.identities.tolist(), curve.found, strict=True):
        expected = torch.zeros(6, dtype=torch.int32)
        for gallery in drawn:
            for i in (label == identity).nonzero().flatten().tolist():
                mate = slow.cosine(rows[i], rows[gallery[identity]])
                rank = sum(slow.cosine(rows[i], rows[entry]) >= mate for entry in gallery.values())
                expected += torch.arange(1, 7) >= (7 if i == gallery[identity] else rank)
        assert torch.equal(found, expected)
