"""Find every fault of a configuration before any data is read."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from lossbench.backbones.foreign import Foreign, made_module
from lossbench.build import PRECISIONS, make, make_objective, needs_teacher, pick_device, reason
from lossbench.config import ConfigError, flatten
from lossbench.contradictions import contradictions
from lossbench.datasets.cautions import RANGES as CAUTIONS
from lossbench.heads import EmbeddingHead
from lossbench.heads.scheduled import Paced
from lossbench.protocols.resampled import FEWEST_REPLICATES
from lossbench.validate import check_range


def check(config: Mapping[str, Any], choices: Mapping[str, str] | None = None) -> None:
    """Raise ConfigError with one line per fault of a resolved config.

    Every part is built and called once at a tiny size, so ranges live with the functions they belong to and
    a user's own loss is held to the same contract: one finite value per sample, inputs left alone.

    choices: option chosen per group, to refuse a preset whose head was overridden.
    """
    faults = Faults()
    for name, value, rule in _ranges(config):
        with faults.caught(name):
            check_range(name, value, **rule)
    faults += [*_words(config), *contradictions(config, choices or {})]
    with faults.caught("device"):
        pick_device(config["device"])
    if not faults:
        for name, probe in _PROBES.items():
            with faults.caught(name):
                probe(config)
    # Parts that others wrote may take a NaN without a word.
    faults = faults or Faults(
        f"{path}={value}: must be a finite number" for path, value in _not_finite(config)
    )
    if faults:
        raise ConfigError("\n".join(dict.fromkeys(faults)))


class Faults(list[str]):
    """One line per fault."""

    @contextmanager
    def caught(self, part: str) -> Iterator[None]:
        """Turn an error in the block into a line; one that is not about a value is named by its part."""
        try:
            yield
        except Exception as error:
            self.append(reason(error) if isinstance(error, ValueError) else f"{part}: {reason(error)}")


def _ranges(config: Mapping[str, Any]) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    trainer = config["trainer"]
    yield "seed", config["seed"], {"low": 0, "high": 2**31, "integer": True}
    yield "log_every", config["log_every"], {"low": 1, "integer": True}
    yield "checkpoint_every", config["checkpoint_every"], {"low": 0}
    yield "trainer.steps", trainer["steps"], {"low": 1, "integer": True}
    yield "trainer.batch_size", trainer["batch_size"], {"low": 2, "integer": True}
    if trainer["samples_per_class"] is not None:
        yield "samples_per_class", trainer["samples_per_class"], {"low": 1, "integer": True}
    yield "trainer.clip", trainer["clip"], {"low": 0, "open_low": True}
    yield "trainer.validations", trainer["validations"], {"low": 0, "integer": True}
    for name, rule in CAUTIONS.items():
        if config["dataset"].get(name) is not None:
            yield f"dataset.{name}", config["dataset"][name], rule


def _not_finite(config: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for path, value in flatten(config):
        if isinstance(value, float) and not math.isfinite(value):
            yield path, value


def _words(config: Mapping[str, Any]) -> Iterator[str]:
    if config["trainer"]["weights"] not in ("last", "best"):
        yield f"trainer.weights={config['trainer']['weights']}: must be last or best"
    if config["trainer"]["weights"] == "best" and config["trainer"]["validations"] == 0:
        yield "trainer.weights=best: needs trainer.validations >= 1"
    size, each = config["trainer"]["batch_size"], config["trainer"]["samples_per_class"]
    if isinstance(each, int) and isinstance(size, int) and each > 0 and size % each:
        yield f"samples_per_class={each}: must divide trainer.batch_size={size}"
    if needs_teacher(config) != bool(config.get("teacher")):
        yield (
            "loss=distillation: needs teacher=RUN_FOLDER, a finished run on the same data"
            if needs_teacher(config)
            else "teacher: only loss=distillation learns from one"
        )
    if config["head"]["_target_"].endswith(".EmbeddingHead") and _on_scores(config["loss"]["_target_"]):
        yield "head=embedding: gives no class scores; choose loss=sup_con, info_nce or pml, or another head"
    if config["precision"] not in PRECISIONS:
        yield f"precision={config['precision']}: must be one of {', '.join(PRECISIONS)}"


def _on_scores(target: str) -> bool:
    return target.startswith("lossbench.losses.")


def _probe_dataset(config: Mapping[str, Any]) -> None:
    make(config["dataset"]["source"])
    if config["dataset"].get("augment"):
        augment = make(config["dataset"]["augment"])
        images = torch.rand(2, 1, 8, 8)
        if augment(images, torch.Generator().manual_seed(0)).shape != images.shape:
            raise ValueError("dataset.augment: must return images of the shape it was given")


def _probe_backbone(config: Mapping[str, Any]) -> None:
    made = make(config["backbone"])
    if isinstance(made, partial) and made.func is Foreign:
        made_module(made.keywords["module"])  # which rows it takes, the data will tell
        return
    backbone = made((1, 16, 16)).eval()
    if backbone(torch.zeros(2, 1, 16, 16)).shape != (2, backbone.dim):
        raise ValueError(f"backbone: must return embeddings (n, dim) with dim={backbone.dim}")


def _probe_head_and_loss(config: Mapping[str, Any]) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        head, loss, regularizer = make_objective(config, dim=4, counts=[2, 2, 1])
        embedding, target = torch.randn(5, 4), torch.tensor([0, 1, 2, 0, 1])
    for part in head.modules():
        if isinstance(part, Paced):
            part.at(1, 2)
            part.at(1, 1)  # where the knobs of a schedule end
    plain, margined = head(embedding), head(embedding, target)
    wanted = (5, 4) if isinstance(head, EmbeddingHead) else (5, 3)
    for scores in (plain, margined):
        if scores.shape != wanted:
            raise ValueError(f"head: must return scores (n, classes), got {tuple(scores.shape)} for {wanted}")
    taught = (plain.detach(),) if needs_teacher(config) else ()
    _probe_loss("loss", loss, margined.detach(), target, *taught)
    if regularizer is not None:
        _probe_loss("regularizer", regularizer, embedding, target)


def _probe_loss(
    name: str, loss: Callable[..., Tensor], seen: Tensor, target: Tensor, *others: Tensor
) -> None:
    before = seen.detach()
    seen = before.clone().requires_grad_() * 1  # no leaf: those cannot be written into
    values = loss(seen, target, *others)
    if not isinstance(values, Tensor):
        raise ValueError(f"{name}: must return a tensor, got {type(values).__name__}")
    if values.shape != target.shape:
        raise ValueError(
            f"{name}: must return one value per sample, got shape {tuple(values.shape)} for 5 samples"
        )
    if not torch.isfinite(values).all():
        raise ValueError(f"{name}: is not finite on ordinary scores")
    if not torch.equal(seen, before):
        raise ValueError(f"{name}: writes into its input; work on a copy")
    if not values.requires_grad:
        raise ValueError(f"{name}: has no gradient; is something in it detached?")


def _probe_optimizer(config: Mapping[str, Any]) -> None:
    if "lr" in config:
        check_range("lr", config["lr"], low=0, open_low=True)
    make(config["optimizer"])([nn.Parameter(torch.zeros(1))])


def _probe_schedule(config: Mapping[str, Any]) -> None:
    schedule = make(config["schedule"])
    for step in (0, 5, 9):
        check_range("schedule factor", schedule(step, 10), low=0)


def _probe_protocol(config: Mapping[str, Any]) -> None:
    protocol = config["protocol"]
    for name in ("fars", "ranks"):
        if not isinstance(protocol[name], list):
            raise ValueError(
                f"protocol.{name}={protocol[name]}: must be a list: protocol.{name}=[{protocol[name]}]"
            )
    for far in protocol["fars"]:
        check_range("protocol.fars", far, low=0, high=1, open_low=True, cure="false accept rates")
    for rank in protocol["ranks"]:
        check_range("protocol.ranks", rank, low=1, integer=True)
    check_range("protocol.draws", protocol["draws"], low=1, integer=True)
    check_range("protocol.seed", protocol["seed"], low=0, integer=True)
    if protocol.get("bootstrap"):
        cure = "replicates of 95 % intervals; null for none"
        check_range(
            "protocol.bootstrap", protocol["bootstrap"], low=FEWEST_REPLICATES, integer=True, cure=cure
        )


_PROBES: dict[str, Callable[[Mapping[str, Any]], None]] = {
    "dataset": _probe_dataset,
    "backbone": _probe_backbone,
    "head and loss": _probe_head_and_loss,
    "optimizer": _probe_optimizer,
    "schedule": _probe_schedule,
    "protocol": _probe_protocol,
}
