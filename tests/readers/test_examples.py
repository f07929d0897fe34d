import doctest
import importlib

import pytest

MODULES = ["images", "lfw", "megaface", "recordio.framing", "recordio.payload"]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_the_docstrings_run(name):
    result = doctest.testmod(importlib.import_module(f"lossbench.readers.{name}"))
    assert result.attempted > 0
    assert result.failed == 0
