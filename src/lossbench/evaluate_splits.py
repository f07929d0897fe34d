"""A trained model on the splits of its data set: every protocol, one set of numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lossbench.heads import EmbeddingHead
from lossbench.lightning.datamodule import Batches, DeviceData
from lossbench.lightning.module import Training
from lossbench.lightning.stored_rows import Rows
from lossbench.protocols import (
    Evaluation,
    PairFolds,
    classification,
    drawn_identities,
    identification,
    joined,
    miniature,
    unclassified,
    verification,
)


@torch.no_grad()
def embed(backbone: nn.Module, rows: Rows, *, precision: str, batch_size: int = 512) -> Tensor:
    """Embeddings (n, d) float32 of raw rows (n, ...), as the model sees them without augmentation."""
    labels = torch.zeros(len(rows), dtype=torch.long, device=rows.device)
    backbone.eval()
    with torch.autocast(rows.device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
        return torch.cat([backbone(part).float() for part, _ in Batches(rows, labels, batch_size)])


def evaluate_splits(
    module: Training, data: DeviceData, *, protocol: Mapping[str, Any], tau: float, precision: str
) -> tuple[Evaluation, Evaluation]:
    """Validation, and test with the temperature that validation fitted."""
    known = {"protocol": protocol, "tau": tau, "precision": precision}
    val = evaluate(module, data, "val", **known)  # type: ignore[arg-type]
    fitted = val.details.get("val/classification", {}).get("fitted_tau")
    return val, evaluate(module, data, "test", fitted_tau=fitted, **known)  # type: ignore[arg-type]


@torch.no_grad()
def evaluate(
    module: Training,
    data: DeviceData,
    role: str,
    *,
    protocol: Mapping[str, Any],
    tau: float,
    precision: str,
    fitted_tau: float | None = None,
) -> Evaluation:
    """Metrics of ``role`` ('val' or 'test'), named ``role/metric``, with details and curves.

    tau: temperature that the training loss divides scores by; stated probabilities are softmax(scores / tau).
    fitted_tau: temperature fitted on other rows, for the calibrated variants of nll and ece.
    """
    taus = (tau, fitted_tau)
    return joined(role, dict(_parts(module, data, role, protocol=protocol, taus=taus, precision=precision)))


def _parts(
    module: Training,
    data: DeviceData,
    role: str,
    *,
    protocol: Mapping[str, Any],
    taus: tuple[float, float | None],
    precision: str,
) -> Iterator[tuple[str, Evaluation]]:
    embeddings: dict[int, Tensor] = {}

    def embedded(rows: Rows) -> Tensor:
        # A closed set is classified and verified on the same rows.
        if id(rows) not in embeddings:
            embeddings[id(rows)] = embed(module.backbone, rows, precision=precision)
        return embeddings[id(rows)]

    closed = data.rows(role)
    if closed is not None:
        if isinstance(module.head, EmbeddingHead):
            yield "classification", unclassified("the loss has no class scores")
        else:
            scores = module.head(embedded(closed[0]))
            counts = data.dataset.counts()
            yield (
                "classification",
                classification(scores, closed[1], tau=taus[0], fitted_tau=taus[1], counts=counts),
            )
    rows = data.verification_rows(role)
    if rows is not None:
        embedding, label = embedded(rows[0]), rows[1]
        seed, replicates = protocol["seed"], (protocol.get("bootstrap") or 0) if role == "test" else 0
        weights = drawn_identities(label, replicates, seed)
        yield "verification", verification(embedding, label, fars=tuple(protocol["fars"]), weights=weights)
        stored = data.rows("distractors") if role == "test" else None
        others = None if stored is None else embedded(stored[0])
        yield (
            "identification",
            identification(
                embedding,
                label,
                distractors=others,
                ranks=tuple(protocol["ranks"]),
                draws=protocol["draws"],
                seed=seed,
                weights=weights,
            ),
        )
        if role == "test" and protocol.get("miniature"):
            listed = data.dataset.pairs
            pairs = None if listed is None else PairFolds(*map(torch.from_numpy, listed))
            yield from miniature(embedding, label, others, pairs=pairs, seed=seed, weights=weights)
