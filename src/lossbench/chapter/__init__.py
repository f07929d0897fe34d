"""The chapter's claims, each a small function that measures what is said and gives a verdict."""

from __future__ import annotations

from importlib import import_module

from lossbench.chapter.claim import Claim

SECTIONS = {
    "linear": "3.1-3.1.2 The score function",
    "bias": "3.1.1-3.1.3 The bias",
    "scaling": "3.2.1 Scaling the input",
    "templates": "3.3 Templates",
    "modes": "3.3.4-3.3.5 Classes of several modes",
    "geometry": "3.4.1-3.4.2 Points and hyperplanes",
    "dimensions": "3.4.3-3.4.4 XOR, and many dimensions",
    "requirements": "3.6-3.6.2 What a loss must do",
    "softmax": "3.6.3 Softmax and cross-entropy",
    "temperature": "3.6.3 Temperature",
    "temperature_uses": "3.6.3 Uses of the temperature",
    "squared_error": "3.6.3.1 Squared error",
    "squared_error_training": "3.6.3.1 Squared error, trained with",
    "squared_scores": "3.6.3.1 Shares of squared scores",
    "hinge": "3.6.4 Multiclass hinge",
    "hinge_variants": "3.6.4 Questions on the hinge",
    "comparison": "3.6.5 Cross-entropy beside the hinge",
    "initial_loss": "3.6.5 The loss before training",
    "initial_heads": "3.6.5 The loss before training, of other heads",
    "compactness": "3.6.6 Separable and compact",
    "angular": "3.6.6 The angular margin of A-Softmax",
    "annealing": "3.6.6 Margins turned on gradually",
    "margin": "3.6.6 The additive margin",
    "gradients": "3.6.6 Gradients",
    "feature_norms": "3.6.6 Gradients and normalised features",
    "pull": "3.6.6 The angle that a margin leaves",
    "regions": "3.6.6 Regions on the sphere",
    "target_logits": "3.6.6 Target logits, and regions on the circle",
    "sphere": "3.6.6 Features on the sphere",
    "feasible": "3.6.6 Scales and margins that can work",
    "tables": "3.6.6 The printed tables",
    "miniature": "3.6.6 Table 3.1 in small, by training",
    "overlap": "3.6.6 Table 3.2 in small, by training",
    "margin_sweep": "3.6.6 The margin, by training",
    "open_set": "3.6.6 Where it helps, by training",
    "few_shot": "3.6.6 Classes that training never saw",
    "limits": "3.6.6 Where it does not help",
    "cautions": "3.6.6 Wrong labels and rare classes, by training",
    "shift": "3.6.6 Calibration under shift",
    "scale_margin": "3.6.6 Scale and margin tuned, by training",
}
"""Module -> heading, in the order of the chapter."""


def claims() -> dict[str, list[Claim]]:
    """Heading -> its claims, in the order they are written."""
    modules = {heading: import_module(f"{__name__}.{name}") for name, heading in SECTIONS.items()}
    return {
        heading: [value for value in vars(module).values() if isinstance(value, Claim)]
        for heading, module in modules.items()
    }
