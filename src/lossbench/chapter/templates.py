"""Section 3.3: rows of W as images, on the photographs of CIFAR-10."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from lossbench.chapter.claim import Working, claim
from lossbench.chapter.photographs import RECIPES, TOLD, TRAINED, photographs, templates

PLANE, CAR, HORSE, SHIP = 0, 1, 7, 8
SHORT = ("plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def mirror(images: Tensor) -> Tensor:
    """Cosine (n,) of images (n, h, w, c) with themselves seen in a mirror."""
    return F.cosine_similarity(images.flatten(1), images.flip(2).flatten(1))


def neighbours_right(asked: Tensor, answers: Tensor, kept: Tensor, labels: Tensor, k: int) -> float:
    """Per cent of the rows whose ``k`` nearest of those kept vote for their class."""
    far = torch.cdist(asked, kept, compute_mode="use_mm_for_euclid_dist")
    votes = F.one_hot(labels[far.topk(k, largest=False).indices], 10).sum(1)
    return _share(votes, answers)


def _share(scores: Tensor, truth: Tensor) -> float:
    return 100 * (scores.argmax(1) == truth).double().mean().item()


@claim(
    "C-3.3-templates",
    says="Each row of W is an image, a template of its class; scores are inner products with ten templates "
    "in the place of thousands of stored images.",
    verdict="holds",
    otherwise="not reproduced here",
)
def ten_templates(work: Working) -> None:
    work.let(TOLD)
    soft, (images, labels, test, truth) = templates("softmax"), photographs()
    by_hand = (soft.images[HORSE] * (test[0].float() - soft.mean) / 255).sum() + soft.bias[HORSE]
    gap = abs(by_hand - soft.scores(test[:1])[0, HORSE]).item()
    work.true("a score: template times image, pixel by pixel, summed", gap < 1e-4, f"off by {gap:.0e}")
    for name in RECIPES:
        right = templates(name).right()
        work.true(f"{name}: right on 35 to 41 %", 35 <= right <= 41, f"{right:.1f} %")
    pixels, asked, answers = soft.pixels(images), soft.pixels(test[::10]), truth[::10]
    linear = _share(soft.scores(test[::10]), answers)
    one, ten = (neighbours_right(asked, answers, pixels, labels, k) for k in (1, 10))
    work.true(f"on {len(answers)} of them no worse than the nearest of {TRAINED}", linear > max(one, ten) - 2,
              f"{linear:.1f} % against {one:.1f} % with 1, {ten:.1f} % with 10 neighbours")  # fmt: skip
    work.let("-‖x - w‖²/2 = w x - ‖w‖²/2 - ‖x‖²/2: the nearest of ten templates is a linear classifier, too")
    means = torch.stack([pixels[labels == label].mean(0) for label in range(10)])
    near = neighbours_right(asked, answers, means, torch.arange(10), 1)
    same = _share(asked @ means.T - means.square().sum(1) / 2, answers)
    work.number("right by the nearest mean image less that by its scores", near - same, 0, step=True)
    work.true("learned templates beat the ten mean images", linear > near + 5, f"mean images {near:.1f} %")


@claim(
    "C-3.3.2-bias",
    says="Templates of plane and ship are blue, the car's is red, the horse has two heads.",
    verdict="not reproduced here",
    correct="As for the car; plane and ship are blue. The car's is magenta: it lacks green, and blue "
    "outweighs red, though red cars are more than blue ones. A template shows how a class differs "
    "from nine others, not its colours. Two-headed are all that face both ways: every class.",
    otherwise="not reproduced here",
)
def colours(work: Working) -> None:
    work.let(TOLD)
    for name in RECIPES:
        rgb = 1000 * templates(name).images.mean((1, 2))
        for label in (PLANE, SHIP, CAR):
            work.let(f"{name}, {SHORT[label]}: 1000 * mean weight of red, green, blue: {_told(rgb[label])}")
        most = rgb[[PLANE, SHIP]].argmax(1).tolist()
        work.numbers(f"{name}, plane and ship: largest of 0 red, 1 green, 2 blue", most, [2, 2])
        red, green, blue = rgb[CAR].tolist()
        work.criterion(f"{name}, car: red is largest", red > max(green, blue), _told(rgb[CAR]))
    images, labels = photographs()[:2]
    cars = images[labels == CAR]
    red, blue = _mostly(cars, 0), _mostly(cars, 2)
    work.true("more than twice as many red cars as blue ones", red > 2 * blue, f"{red:.0f} and {blue:.0f} %")
    plain, flipped = (mirror(templates("softmax", flips=flips).images) for flips in (False, True))
    cosines = (f"{name} {value:.2f}" for name, value in zip(SHORT, plain.tolist(), strict=True))
    work.let(f"softmax, cosine of each template and its mirror image: {', '.join(cosines)}")
    least, most_of_all, above = plain.min(), plain.max(), (plain > plain[HORSE]).sum().item()
    work.true("mirror image: the horse's cosine is among the highest three", above < 3, f"{plain[HORSE]:.2f}")
    work.true("but all are above 0.7", least.item() > 0.7, f"{least:.2f} to {most_of_all:.2f}")
    rise = bool((flipped > plain).all())
    work.true("and all rise when half of the images are mirrored", rise, f"to {flipped.min():.2f} or more")


def _told(values: Tensor) -> str:
    return ", ".join(f"{value:.1f}" for value in values.tolist())


def _mostly(images: Tensor, channel: int) -> float:
    """Per cent of images whose middle has this colour, by 30 of 255 at least."""
    middle = images[:, 12:24, 6:26].float().mean((1, 2))
    others = [each for each in range(3) if each != channel]
    return 100 * (middle[:, channel] > middle[:, others].amax(1) + 30).double().mean().item()


@claim(
    "C-3.3.2-confuse",
    says="Other things before a blue background are taken for planes or ships, and these before another are "
    "not.",
    verdict="holds",
    otherwise="not reproduced here",
)
def tinted(work: Working) -> None:
    test, truth = photographs()[2:]
    there = (truth == PLANE) | (truth == SHIP)
    others, own = test[~there][::5], test[there][::5]
    work.let(f"{TOLD}: k of 255 added to the blue of {len(others)} of the other classes, {len(own)} of these")
    for name in RECIPES:
        shares = [_taken(name, others, k) for k in (0, 20, 40, 60, 80)]
        told = ", ".join(f"{value:.0f}" for value in shares) + " %"
        rises = all(one < other for one, other in pairwise(shares))
        work.true(f"{name}: taken for plane or ship, k = 0, 20, 40, 60, 80: rises", rises, told)
        work.true(f"{name}: most of them at 80", shares[-1] > 50, f"{shares[-1]:.0f} %", step=True)
        kept, lost = _taken(name, own, 0), _taken(name, own, -40)
        work.true(
            f"{name}: planes and ships at k = -40: fewer", lost < kept - 20, f"{kept:.0f} to {lost:.0f} %"
        )


def _taken(name: str, images: Tensor, k: int) -> float:
    """Per cent taken for planes or ships with ``k`` more blue."""
    tinted = images.clone()
    tinted[..., 2] = (tinted[..., 2].int() + k).clamp(0, 255).byte()
    found = templates(name).scores(tinted).argmax(1)
    return 100 * ((found == PLANE) | (found == SHIP)).double().mean().item()


def shown(weight: Tensor) -> np.ndarray:
    """Templates (10, 32, 32, 3) of the chapter's W (3073, 10), bias in the last row, as bytes 0 to 255."""
    images = weight[:-1].T.reshape(-1, 32, 32, 3)
    low, high = images.min(), images.max()
    return (255 * (images - low) / (high - low)).byte().numpy()


@claim(
    "C-3.3.3-listing",
    says="W without its last row, as ten images of 32x32x3, all brought to 0..255, shows the templates.",
    verdict="holds",
)
def listing(work: Working) -> None:
    for name in RECIPES:
        found = templates(name)
        weight = torch.cat([found.weight, found.bias[:, None]], 1).T
        pictures = shown(weight)
        work.numbers(f"{name}: shape of W", weight.shape, [3073, 10])
        work.numbers("shape of the images", pictures.shape, [10, 32, 32, 3])
        work.numbers("least and greatest byte", [pictures.min(), pictures.max()], [0, 255])
        pair = torch.stack([torch.from_numpy(pictures).float().flatten(), found.weight.flatten()])
        alike = pair.corrcoef()[0, 1].item()
        work.true("the images follow the weights", alike > 0.999, f"correlation {alike:.5f}")
        _draw_templates(work.figure(f"fig-3.8-templates-{name}", 7.0, 3.2), pictures)


def _draw_templates(figure: Figure, pictures: np.ndarray) -> None:
    for axes, name, picture in zip(figure.subplots(2, 5).flat, SHORT, pictures, strict=True):
        axes.imshow(picture)
        axes.set_title(name, loc="center")
        axes.axis("off")


class _Window:
    """Stands in for pyplot in a notebook: ``show`` hands out the figure and forgets it."""

    def __init__(self) -> None:
        self.open, self.shown = 0, list[int]()

    def panel(self) -> None:
        self.open += 1

    def show(self) -> None:
        self.shown.append(self.open)
        self.open = 0


@claim(
    "X-14",
    says="The listing calls show() for each template, and cuts W into images of 32x32x3.",
    verdict="slip",
    correct="One show() after the loop: else ten figures of one panel in a notebook. And height, width, "
    "channel must be the order in which the images were flattened; W is D x K here, K x D in the text.",
)
def show_in_loop(work: Working) -> None:
    inside, after = _Window(), _Window()
    for _ in SHORT:
        inside.panel()
        inside.show()
        after.panel()
    after.show()
    work.numbers("show() in the loop: panels of each figure", inside.shown, [1] * 10)
    work.numbers("show() after the loop", after.shown, [10])
    image = torch.rand(32, 32, 3)
    image[0, 0], image[0, 1] = 0, 1
    for order, name, back in (((0, 1, 2), "height, width, channel", 100), ((2, 0, 1), "channel first", 0)):
        weight = F.pad(image.permute(order).flatten(), (0, 1))[:, None].expand(3073, 10)
        same = (torch.from_numpy(shown(weight)[0]) - 255 * image).abs() < 1
        share = 100 * same.double().mean().item()
        work.number(f"flattened {name}: values in their place, %", share, back, within=2)
