import math
from itertools import combinations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lossbench.functional import (
    area_under_curve,
    equal_error_rate,
    pair_roc,
    pair_verification,
    roc_curve,
    tar_at_far,
    thin,
    verification,
)
from lossbench.functional.pair_numbers import certain
from lossbench.functional.pair_screening import UnsettledError, _Tile
from tests.functional import slow

FARS = (1e-3, 0.05, 0.3, 1.0)


def faces(n=60, d=17, identities=9, seed=0, noise=1.0):
    generator = torch.Generator().manual_seed(seed)
    label = torch.randint(identities, (n,), generator=generator)
    centre = torch.randn(identities, d, generator=generator)
    return centre[label] + noise * torch.randn(n, d, generator=generator), label


def numbers(found):
    """All that is exact in any way of counting."""
    hard = [list(zip(*(part.tolist() for part in pairs), strict=True)) for pairs in hardest(found)]
    points = [tuple(map(str, point)) for point in found.points]
    return points, str(found.eer), found.genuine, found.impostors, hard, found.reason


def hardest(found):
    return found.hardest_impostors, found.hardest_genuine


def brute(embedding, label, fars, count):
    """Sort all pairs and look."""
    rows, label = [slow.unit(row) for row in embedding.tolist()], label.tolist()
    pairs = [(slow.cosine(rows[i], rows[j]), i, j) for i, j in combinations(range(len(rows)), 2)]
    genuine = [p for p in pairs if label[p[1]] == label[p[2]]]
    impostor = [p for p in pairs if label[p[1]] != label[p[2]]]
    curve = roc_curve(*(torch.tensor([float(p[0]) for p in kind]) for kind in (genuine, impostor)))
    points = []
    for far in fars:
        point = tar_at_far(curve, far)
        accepted = [p for p in genuine if p[0] >= point.threshold]
        alarms = sum(p[0] >= point.threshold for p in impostor)
        own = {
            a: [p in accepted for p in genuine if label[p[1]] == a] for a in {label[p[1]] for p in genuine}
        }
        macro = math.nan if point.reason else math.fsum(sum(v) / len(v) for v in own.values()) / len(own)
        points.append((far, point.tar, macro, *point[1:3], len(accepted), alarms, point.reason))
    hard = (sorted(impostor, key=lambda p: (-p[0], *p[1:])), sorted(genuine))
    return points, curve, [[(float(s), i, j) for s, i, j in kind[:count]] for kind in hard]


def same_as_brute(embedding, label, count=7, **options):
    found = pair_verification(embedding, label, fars=FARS, hardest=count, **options)
    points, curve, hard = brute(embedding, label, FARS, count)
    told, eer, genuine, impostors, ours, reason = numbers(found)
    assert told == [tuple(map(str, point)) for point in points]
    assert (eer, genuine, impostors) == (str(equal_error_rate(curve)), curve.genuine, curve.impostors)
    assert ours == hard
    assert reason == curve.undefined
    exact = area_under_curve(curve)
    assert str(found.auc) == str(exact) or abs(found.auc - exact) <= found.auc_error
    return found


@pytest.fixture
def screen_always(monkeypatch):
    monkeypatch.setattr(verification, "_EXACT_ROWS", -1)


@pytest.fixture
def never_score_all(monkeypatch):
    def refuse(task):
        raise AssertionError("the screening pass did not settle every number")

    monkeypatch.setattr(verification, "scored", refuse)


def test_small_sets_are_counted_as_two_loops_count_them():
    found = same_as_brute(*faces())
    assert found.auc_error == 0
    curve = pair_roc(*faces())
    assert all(map(torch.equal, found.line, thin(curve, 400)))


SMALL = st.lists(
    st.tuples(st.integers(0, 3), st.lists(st.integers(-1, 1), min_size=2, max_size=2)), max_size=12
)


@pytest.mark.parametrize("deviations", [6.0, 0.0])
@given(rows=SMALL, block=st.integers(1, 13))
@settings(deadline=None, max_examples=60, derandomize=True)
def test_screening_ties_and_zero_rows_counts_as_two_loops_do(deviations, rows, block):
    label = torch.tensor([r[0] for r in rows], dtype=torch.int64)
    embedding = torch.tensor([r[1] for r in rows], dtype=torch.float32).reshape(len(rows), 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verification, "_EXACT_ROWS", -1)
        # Windows of no width miss often: then all pairs are scored, with the same numbers.
        patch.setattr("lossbench.functional.pair_watch._DEVIATIONS", deviations)
        same_as_brute(embedding, label, block=block)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(-3, 3)), min_size=2, max_size=9), st.integers(1, 9))
@settings(deadline=None, max_examples=60, derandomize=True)
def test_scores_that_differ_in_the_last_bits_are_told_apart(rows, block):
    """All cosines lie within 1e-6 of each other: far less than float32 products are known to."""
    label = torch.tensor([r[0] for r in rows])
    embedding = torch.tensor([[1.0, 0.75 + r[1] * 2.0**-22, 0.5] for r in rows], dtype=torch.float64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verification, "_EXACT_ROWS", -1)
        same_as_brute(embedding, label, block=block)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.usefixtures("screen_always", "never_score_all")
def test_screening_takes_every_float_type_as_given(dtype):
    embedding, label = faces()
    same_as_brute(embedding.to(dtype), label)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.usefixtures("screen_always", "never_score_all")
def test_no_number_depends_on_how_products_are_rounded_within_the_bound(seed, monkeypatch):
    """Tiles wrong by anything up to the bound, as another order of summation might make them."""
    embedding, label = faces(n=300, d=64, identities=40)
    embedding[:, 0] += 60  # cosines close together: about 40 pairs within the bound of each threshold
    plain, generator = _Tile._multiply, torch.Generator().manual_seed(seed)
    expected = same_as_brute(embedding, label)

    def shaken(self, left, right):
        tile = plain(self, left, right)
        return tile.add_((torch.randint(0, 3, tile.shape, generator=generator) - 1) * 64 * 2.0**-24)

    monkeypatch.setattr(_Tile, "_multiply", shaken)
    found = pair_verification(embedding, label, fars=FARS, hardest=7)
    assert numbers(found) == numbers(expected)
    assert abs(found.auc - area_under_curve(pair_roc(embedding, label))) <= found.auc_error


@pytest.mark.parametrize("block", [1, 7, 64, 119, 121])
@pytest.mark.usefixtures("screen_always", "never_score_all")
def test_neither_the_block_nor_the_order_of_rows_nor_names_change_a_number(block):
    embedding, label = faces(n=120, d=64, identities=20)
    whole = pair_verification(embedding, label, fars=FARS, hardest=0)
    order = torch.randperm(120, generator=torch.Generator().manual_seed(block))
    found = pair_verification(embedding[order], 2**40 - 3 * label[order], fars=FARS, hardest=0, block=block)
    assert numbers(found) == numbers(whole)
    assert (found.auc, found.auc_error) == (whole.auc, whole.auc_error)


@pytest.mark.parametrize("block", [1, 5, 60])
def test_the_hardest_pairs_are_named_by_their_rows_and_ties_go_to_the_first_rows(block):
    embedding, label = torch.eye(3).repeat(4, 1), torch.arange(12) % 4
    found = pair_verification(embedding, label, hardest=5, block=block)
    assert numbers(found)[4] == brute(embedding, label, (), 5)[2]
    assert found.hardest_impostors.first.tolist() == [0, 0, 0, 1, 1]


def crowd(kind):
    """3,100 to 3,200 rows whose scores are spread in different ways."""
    generator = torch.Generator().manual_seed(1)
    embedding, label = faces(n=3200, d=48, identities=800, noise=0.7)
    if kind == "one identity of a fifth":
        label[torch.randperm(3200, generator=generator)[:640]] = 801
    if kind == "hubs":
        embedding += torch.rand(3200, 1, generator=generator) ** 4 * 5
    if kind == "few genuine pairs":
        label = torch.arange(3200)
        label[:6] //= 2
    if kind == "no information":
        embedding = torch.randn(3200, 48, generator=generator)
    if kind == "a few values":
        embedding = torch.randint(-1, 2, (3100, 6), generator=generator).float()
        label = torch.randint(900, (3100,), generator=generator)
    return embedding, label


KINDS = ["plain", "one identity of a fifth", "hubs", "few genuine pairs", "no information"]


@pytest.mark.parametrize("kind", KINDS)
def test_large_sets_are_settled_in_one_pass_and_count_as_the_definition_does(kind, never_score_all):
    check_against_all_scores(*crowd(kind))


def test_scores_of_a_few_values_are_counted_as_the_definition_does():
    """Ties everywhere: no cell of scores can tell the area, so all pairs are scored."""
    assert check_against_all_scores(*crowd("a few values")).auc_error == 0


def check_against_all_scores(embedding, label):
    fars = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 0.5, 1.0)
    found = pair_verification(embedding, label, fars=fars)
    curve = pair_roc(embedding, label)
    for far, point in zip(fars, found.points, strict=True):
        expected = tar_at_far(curve, far)
        told = (point.tar, point.achieved_far, point.threshold, point.reason)
        assert str(told) == str((*expected[:3], expected[4]))
    assert found.eer == equal_error_rate(curve)
    assert abs(found.auc - area_under_curve(curve)) <= found.auc_error
    assert (found.genuine, found.impostors) == (curve.genuine, curve.impostors)
    at = torch.searchsorted(-curve.thresholds, -found.line.threshold)
    assert torch.equal(curve.thresholds[at], found.line.threshold)
    assert torch.equal(curve.tar[at], found.line.tar)
    assert (curve.far[at] - found.line.far).abs().max() < 1e-3
    return found


def test_the_hardest_pairs_of_a_large_set_are_those_of_all_scores(never_score_all):
    embedding, label = crowd("plain")
    found = pair_verification(embedding, label, hardest=50)
    rows = torch.tensor([slow.unit(row) for row in embedding.tolist()], dtype=torch.float64)
    first, second = torch.triu_indices(len(rows), len(rows), 1)
    score = (rows @ rows.T / 2.0**52).float()[first, second]
    same = label[first] == label[second]
    for pairs, wanted, down in ((found.hardest_impostors, ~same, True), (found.hardest_genuine, same, False)):
        worst = score[wanted].sort(descending=down, stable=True)
        assert torch.equal(pairs.score, worst.values[:50])
        assert torch.equal(pairs.first, first[wanted][worst.indices[:50]])
        assert torch.equal(pairs.second, second[wanted][worst.indices[:50]])


@pytest.mark.usefixtures("screen_always")
def test_a_collapsed_model_is_scored_pair_by_pair_instead_of_kept(monkeypatch):
    monkeypatch.setattr("lossbench.functional.pair_watch._MOST_KEPT", 100)
    same_as_brute(torch.ones(40, 3), torch.arange(40) % 10)


@pytest.mark.usefixtures("screen_always")
def test_products_cut_to_bf16_by_a_setting_do_not_reach_the_numbers():
    embedding, label = faces(n=200, d=64)
    expected = numbers(pair_verification(embedding, label, fars=FARS))
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        assert numbers(pair_verification(embedding, label, fars=FARS)) == expected
    finally:
        torch.set_float32_matmul_precision(before)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert numbers(pair_verification(embedding.requires_grad_(), label, fars=FARS)) == expected


@pytest.mark.parametrize("threads", [2, 3])
def test_the_number_of_threads_changes_no_number_and_stays_as_it_was(threads, never_score_all):
    embedding, label = crowd("plain")
    one = pair_verification(embedding, label, fars=FARS)
    torch.set_num_threads(threads)
    try:
        with torch.inference_mode():
            found = pair_verification(embedding.clone(), label.clone(), fars=FARS)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(1)
    assert numbers(found) == numbers(one)
    assert (found.auc, found.auc_error) == (one.auc, one.auc_error)


@pytest.mark.parametrize("label", [[], [3], [4] * 5, range(5)])
@pytest.mark.parametrize("exact_rows", [-1, 3000])
def test_without_pairs_of_one_kind_rates_are_nan_with_a_reason(label, exact_rows, monkeypatch):
    monkeypatch.setattr(verification, "_EXACT_ROWS", exact_rows)
    found = same_as_brute(torch.randn(len(label), 3), torch.tensor(list(label), dtype=torch.int64))
    assert found.reason
    assert math.isnan(found.points[0].tar_macro)


def test_the_macro_rate_gives_every_identity_the_same_weight():
    angle = torch.tensor([0.0, 0.1, 0.2, 0.3, 2.0, 3.0, 1.2])
    embedding, label = torch.stack([angle.cos(), angle.sin()], 1), torch.tensor([0, 0, 0, 0, 1, 1, 2])
    (point,) = pair_verification(embedding, label, fars=[0.1]).points
    assert (point.tar, point.tar_macro) == (6 / 7, 0.5)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.5, 0.5, (0.5, 0.0)),
        (0.98761, 0.98764, (0.9876, 5e-5)),
        (0.9949, 0.9951, (0.995, 5e-4)),
        (0.999949, 0.999951, (0.99995, 5e-6)),
        (0.123456789, 0.1234567891, (0.123456789, 5e-10)),
    ],
)
def test_the_area_keeps_the_digits_that_every_possible_value_rounds_to(low, high, expected):
    assert certain(low, high) == expected


def test_an_area_without_two_certain_digits_is_left_to_the_definition():
    with pytest.raises(UnsettledError):
        certain(0.49, 0.51)


@pytest.mark.parametrize("name", ["hardest", "points", "block"])
def test_numbers_out_of_range_are_refused(name):
    with pytest.raises(ValueError, match=f"{name}=-1"):
        pair_verification(*faces(), **{name: -1})


def test_wrong_rates_rows_and_labels_are_refused_in_one_line():
    embedding, label = faces()
    with pytest.raises(ValueError, match="far=0"):
        pair_verification(embedding, label, fars=[0])
    with pytest.raises(ValueError, match="60 labels are negative"):
        pair_verification(embedding, label - 10)
    embedding[5] = math.nan
    with pytest.raises(ValueError, match="1 of 60 embedding rows hold NaN"):
        pair_verification(embedding, label)
