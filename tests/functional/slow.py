"""Slow and obvious versions of everything in lossbench.functional, in plain numpy loops."""

import math
from itertools import combinations

import numpy as np


def unit(row):
    """A unit vector as whole multiples of 2**-26, in Python's exact integers."""
    row = np.asarray(row, dtype=np.float64)
    norm = math.sqrt(sum(float(v) ** 2 for v in row))
    return [round(float(v) / (norm or 1.0) * 2**26) for v in row]


def cosine(a, b):
    return np.float32(sum(x * y for x, y in zip(a, b, strict=True)) / 2**52)


def pair_scores(embedding, label):
    rows = [unit(row) for row in embedding]
    genuine, impostor = [], []
    for i, j in combinations(range(len(rows)), 2):
        (genuine if label[i] == label[j] else impostor).append(cosine(rows[i], rows[j]))
    return np.array(genuine, np.float32), np.array(impostor, np.float32)


def tar_at_far(genuine, impostor, far):
    """(tar, achieved FAR) of the best threshold, trying every score and infinity."""
    best = (0.0, 0.0)
    for t in sorted({*genuine.tolist(), *impostor.tolist()}, reverse=True):
        tar = sum(g >= t for g in genuine) / len(genuine)
        achieved = sum(i >= t for i in impostor) / len(impostor)
        if achieved <= far and tar > best[0]:
            best = (tar, achieved)
    return best


def area(genuine, impostor):
    won = sum((i < g) + 0.5 * (i == g) for g in genuine for i in impostor)
    return won / (len(genuine) * len(impostor))


def equal_error_rate(genuine, impostor):
    """Walk up the scores drawing both staircases with their risers; middle of what they share."""
    far, frr = 1.0, 0.0
    for t in sorted({*genuine.tolist(), *impostor.tolist()}):
        # At t itself nothing has changed yet; just beyond t both have stepped.
        next_far = sum(i > t for i in impostor) / len(impostor)
        next_frr = sum(g <= t for g in genuine) / len(genuine)
        if next_frr >= next_far:
            return (max(frr, next_far) + min(next_frr, far)) / 2
        far, frr = next_far, next_frr
    raise AssertionError("the staircases end at 0 and 1")


def cmc(embedding, label, galleries, distractors, ranks):
    """Rates at 1..ranks, mean over galleries, each a dict identity -> row."""
    rows, strangers = [unit(r) for r in embedding], [unit(r) for r in distractors]
    label = [int(v) for v in label]
    rates = np.zeros(ranks)
    for gallery in galleries:
        found = []
        for i, identity in enumerate(label):
            if identity < 0 or label.count(identity) < 2 or gallery[identity] == i:
                continue
            mate = cosine(rows[i], rows[gallery[identity]])
            others = [rows[g] for other, g in gallery.items() if other != identity]
            others += strangers + [row for row, owner in zip(rows, label, strict=True) if owner < 0]
            found.append(1 + sum(cosine(rows[i], other) >= mate for other in others))
        rates += [sum(rank <= r for rank in found) / len(found) for r in range(1, ranks + 1)]
    return rates / len(galleries)


def calibration_error(probability, target, bins):
    total = 0.0
    for k in range(bins):
        inside = [p for p in range(len(target)) if k / bins < probability[p].max() <= (k + 1) / bins]
        if inside:
            sure = np.mean([probability[p].max() for p in inside])
            right = np.mean([probability[p].argmax() == target[p] for p in inside])
            total += len(inside) / len(target) * abs(sure - right)
    return total
