"""python -m lossbench: train and evaluate one configuration, or with -m a sweep of them."""

from __future__ import annotations

import sys

from lossbench.cli import main

if __name__ == "__main__":
    sys.exit(main())
