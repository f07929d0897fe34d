"""Protocols whose trials stand in files: the lists read, matched with the rows, and handed on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lossbench.embeddings import Embeddings
from lossbench.evaluate.request import Request
from lossbench.functional.templates import Templates, pool_templates
from lossbench.protocols.blufr import blufr
from lossbench.protocols.blufr_trials import draw_trials
from lossbench.protocols.evaluation import Evaluation
from lossbench.protocols.ijb import ijb_identification, ijb_verification
from lossbench.protocols.lfw import contiguous_folds, lfw
from lossbench.protocols.megaface import megaface
from lossbench.protocols.resampled import drawn_identities
from lossbench.readers import (
    file_stem,
    image_positions,
    read_blufr,
    read_landmarks,
    read_pairs,
    read_pairs_bin,
    read_template_media,
    read_template_pairs,
    read_template_subjects,
)


def listed(name: str, request: Request, given: Embeddings, strangers: Tensor | None) -> Evaluation:
    """The protocols that read lists or distractors; ``check_request`` has seen to it that they are given."""
    if name == "blufr":
        return _blufr(given, request)
    if name == "megaface":
        assert strangers is not None
        rows, labels = torch.from_numpy(given.rows), torch.from_numpy(given.labels)
        weights = drawn_identities(labels, request.bootstrap, request.seed)
        return megaface(rows, labels, strangers, cleaned=request.cleaned, weights=weights)
    if name == "lfw":
        assert request.pairs
        return _lfw(given, request.pairs, rule=request.rule or "exact", flip=request.flip)
    assert request.media
    templates = _templates(given, request.media, detector=request.detector, norm=not request.unit)
    flip = None if request.flip is None else request.flip != "none"
    if name == "ijb_verification":
        assert request.pairs
        return ijb_verification(templates, read_template_pairs(request.pairs), flip=flip)
    assert request.probes
    galleries = [read_template_subjects(gallery) for gallery in request.gallery]
    return ijb_identification(templates, galleries, read_template_subjects(request.probes), flip=flip)


def _lfw(given: Embeddings, pairs: Path, *, rule: str, flip: str | None) -> Evaluation:
    """``lfw`` of pairs.txt, where labels name each row's image, or of a .bin, where rows are its images."""
    if pairs.suffix == ".bin":
        same = torch.from_numpy(read_pairs_bin(pairs).same)
        _check_length(pairs, 2 * len(same), given)
        places, fold = torch.arange(2 * len(same)).view(-1, 2), contiguous_folds(len(same))
    else:
        if (given.labels < 0).any():
            raise ValueError("LABELS: holds -1; here a label is the name of the row's image")
        named = read_pairs(pairs)
        images = image_positions([file_stem(given.names[label]) for label in given.labels])
        places, same, fold = map(torch.from_numpy, (named.rows(images), named.same, named.fold))
    found = lfw(torch.from_numpy(given.rows), places, same, fold, rule=rule, flip=flip or "none")
    # What nobody told is not known to be none.
    return replace(found, details=found.details | {"flip": flip})


def _blufr(given: Embeddings, request: Request) -> Evaluation:
    """``blufr`` of the toolkit's trials, with rows in the order of its images, or of trials drawn alike."""
    rows, labels = torch.from_numpy(given.rows), torch.from_numpy(given.labels)
    weights = drawn_identities(labels, request.bootstrap, request.seed)
    if request.trials is None:
        return blufr(rows, labels, draw_trials(labels, seed=request.seed), weights=weights)
    trials, official = request.trials, read_blufr(request.trials)
    _check_length(trials, len(official.images), given)
    both = np.unique(np.stack([given.labels, official.labels]), axis=1).shape[1]
    if not both == len(given.names) == len(np.unique(official.labels)):
        raise ValueError(f"{trials}: groups the rows otherwise than LABELS; put rows in its order")
    return blufr(rows, torch.from_numpy(official.labels), official.trials, weights=weights)


def _templates(given: Embeddings, media: Path, *, detector: Path | None, norm: bool) -> Templates:
    """Templates of IJB: rows in the order of ``media``, weighed by the scores of ``detector`` if given."""
    images = read_template_media(media)
    _check_length(media, len(images.names), given)
    score = None
    if detector is not None:
        found = read_landmarks(detector)
        if found.names != images.names:
            raise ValueError(f"{detector}: lists other images than {media}, or in another order")
        score = torch.from_numpy(found.score)
    template, medium = torch.from_numpy(images.template), torch.from_numpy(images.media)
    return pool_templates(torch.from_numpy(given.rows), template, medium, detector_score=score, norm=norm)


def _check_length(path: Path, images: int, given: Embeddings) -> None:
    if images != len(given.rows):
        raise ValueError(
            f"{path}: lists {images} images, there are {len(given.rows)} rows; give one for each"
        )
