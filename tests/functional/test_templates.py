import math

import numpy as np
import pytest
import torch

from lossbench.functional.templates import pool_templates


def images(n=60, d=6, templates=9, media=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    template = torch.randint(templates, (n,), generator=generator) * 11
    medium = torch.randint(media, (n,), generator=generator) + 100
    score = torch.rand(n, generator=generator)
    return 3 * torch.randn(n, d, generator=generator), template, medium, score


def by_loops(embedding, template, media, score, norm):
    """Mean within each medium, sum over media, unit length: one template after the other."""
    rows = []
    for name in sorted(set(template)):
        total = 0.0
        for medium in {m for t, m in zip(template, media, strict=True) if t == name}:
            frames = []
            for row, t, m, weight in zip(embedding, template, media, score, strict=True):
                if (t, m) == (name, medium):
                    frames.append(weight * (row if norm else row / np.linalg.norm(row)))
            total = total + np.mean(frames, axis=0)
        rows.append(total / np.linalg.norm(total))
    return np.array(rows)


@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("detector", [True, False])
def test_templates_are_those_of_loops_over_media(norm, detector):
    embedding, template, media, score = images()
    found = pool_templates(embedding, template, media, detector_score=score if detector else None, norm=norm)
    weight = score.double().numpy() if detector else np.ones(60)
    expected = by_loops(embedding.double().numpy(), template.tolist(), media.tolist(), weight, norm)
    assert np.allclose(found.rows.numpy(), expected, atol=1e-12)
    assert found.template.tolist() == sorted(set(template.tolist()))
    assert (found.images, found.norm, found.detector) == (60, norm, detector)
    assert found.media == len(set(zip(template.tolist(), media.tolist(), strict=True)))


def test_frames_of_a_video_weigh_as_one_image():
    still, frame = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 2.0]])
    template = torch.zeros(101, dtype=torch.int64)
    media = torch.tensor([1, *[2] * 100])
    found = pool_templates(torch.cat([still, frame.expand(100, 2)]), template, media)
    assert found.rows[0].tolist() == pytest.approx([math.sqrt(0.5)] * 2)


def test_a_medium_named_alike_in_two_templates_is_two():
    rows = torch.eye(2)
    found = pool_templates(rows, torch.tensor([1, 2]), torch.tensor([5, 5]))
    assert torch.equal(found.rows, rows.double())
    assert found.media == 2


def test_images_that_cancel_out_leave_a_zero_row():
    rows = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    found = pool_templates(rows, torch.tensor([3, 3]), torch.tensor([0, 1]))
    assert found.rows.tolist() == [[0.0, 0.0]]


def test_templates_are_found_by_id():
    embedding, template, media, _ = images()
    found = pool_templates(embedding, template, media)
    assert found.template[found.find(torch.tensor([33, 0, 33]))].tolist() == [33, 0, 33]
    with pytest.raises(ValueError, match="2 templates have no image: the first is 5"):
        found.find(torch.tensor([0, 5, 1000]))


def test_wrong_shapes_and_values_are_refused_in_one_line():
    embedding, template, media, score = images()
    with pytest.raises(ValueError, match=r"60 images but media of shape \(3,\)"):
        pool_templates(embedding, template, media[:3])
    with pytest.raises(ValueError, match=r"60 images but detector_score of shape \(3,\)"):
        pool_templates(embedding, template, media, detector_score=score[:3])
    with pytest.raises(ValueError, match=r"media torch\.float32: expected integers"):
        pool_templates(embedding, template, media.float())
    embedding[4, 4] = math.inf
    with pytest.raises(ValueError, match="1 of 9 templates hold NaN"):
        pool_templates(embedding, template, media)
