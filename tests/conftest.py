"""One thread per process, no network, no account: tests are the same on every machine."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["WANDB_MODE"] = os.environ.get("LOSSBENCH_TEST_WANDB_MODE", "offline")

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def cache_folder(tmp_path_factory):
    """A cache shared by the tests of one session, so that glyphs are drawn once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, cache_folder):
    monkeypatch.setenv("LOSSBENCH_CACHE", str(cache_folder))
