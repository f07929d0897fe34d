"""The default glyphs, drawn once for all tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lossbench.datasets import Dataset, Glyphs, cache, glyphs

DEFAULTS = {
    "train_identities": 1100,
    "val_identities": 200,
    "test_identities": 700,
    "val_styles": 1,
    "test_styles": 2,
    "split_seed": 0,
}


@pytest.fixture(autouse=True)
def _forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_loaded", {})


@pytest.fixture(scope="session")
def drawn(cache_folder: Path) -> dict[str, np.ndarray]:
    """All drawings, clean, as the cache stores them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOSSBENCH_CACHE", str(cache_folder))
        return glyphs._drawn()


@pytest.fixture(scope="session")
def default_glyphs(drawn: dict[str, np.ndarray], cache_folder: Path) -> Dataset:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOSSBENCH_CACHE", str(cache_folder))
        return Glyphs(**DEFAULTS).load()
