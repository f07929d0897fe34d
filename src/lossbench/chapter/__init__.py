"""The chapter's claims, each a small function that measures what is said and gives a verdict."""

from __future__ import annotations

from importlib import import_module

from lossbench.chapter.claim import Claim

SECTIONS = {
    "hinge": "3.6.4 Multiclass hinge",
}
"""Module -> heading, in the order of the chapter."""


def claims() -> dict[str, list[Claim]]:
    """Heading -> its claims, in the order they are written."""
    modules = {heading: import_module(f"{__name__}.{name}") for name, heading in SECTIONS.items()}
    return {
        heading: [value for value in vars(module).values() if isinstance(value, Claim)]
        for heading, module in modules.items()
    }
