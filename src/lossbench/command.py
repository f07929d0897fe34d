"""How every command of lossbench ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import NoReturn


def finish(main: Callable[[], int], name: str) -> NoReturn:
    """Exit with the status of ``main``; 130 and one line on Ctrl-C, 1 where nobody reads on (``| head``)."""
    try:
        status = main()
        sys.stdout.flush()
    except KeyboardInterrupt:
        print(f"{name}: stopped", file=sys.stderr)
        status = 130
    except BrokenPipeError:
        status = nobody_reads()
    sys.exit(status)


def nobody_reads() -> int:
    """Let what is still printed go nowhere, or the interpreter would complain as it ends; the exit status."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1
