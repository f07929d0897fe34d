"""The command line: Hydra composes, one line answers a mistake, one table ends a run or a sweep."""

from __future__ import annotations

import logging
import os
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lossbench.command import nobody_reads
from lossbench.config import ConfigError, conf_dir
from lossbench.mistakes import explain, misplaced_dash, not_set

if TYPE_CHECKING:
    from lossbench.run import Outcome

_FULL_ERROR = "HYDRA_FULL_ERROR"


def main() -> int:
    """Exit code 0 if every job ended with a result, 1 otherwise."""
    mistake = misplaced_dash(sys.argv[1:])
    if mistake:
        return _fail(mistake)
    # Fresh buffers of a large head cost page faults; torch reads this at its first allocation.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    logging.basicConfig(level=logging.WARNING, format="lossbench: warning: %(message)s")
    warnings.formatwarning = lambda message, *_, **__: f"lossbench: warning: {message}\n"
    if not {"", str(Path.cwd())} & set(sys.path):
        sys.path.append(str(Path.cwd()))  # a user's own loss lies here: `python -m` finds it, too
    # Hydra's parser takes overrides on one side of its flag only.
    sweeps = [word for word in sys.argv[1:] if word in ("-m", "--multirun")]
    sys.argv[1:] = [*sweeps[:1], *(word for word in sys.argv[1:] if word not in sweeps)]
    jobs = Jobs()
    try:
        with _raising_hydra():
            hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")(jobs.task)()
    except KeyboardInterrupt:
        _fail("stopped; the same command goes on from the last checkpoint")
        return 130
    except BrokenPipeError:
        return nobody_reads()
    except Exception as error:
        if os.environ.get(_FULL_ERROR) == "1":
            raise
        return _fail(explain(error, sys.argv[1:]))
    return jobs.finish()


@contextmanager
def _raising_hydra() -> Iterator[None]:
    """Let Hydra raise instead of printing a report of its own, so that the answer can be one line."""
    before = os.environ.get(_FULL_ERROR, "")
    os.environ[_FULL_ERROR] = "1"
    try:
        yield
    finally:
        os.environ[_FULL_ERROR] = before


class Jobs:
    """The jobs of one command: each is tried, a failure is named and does not stop the others."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self.failures: list[tuple[str, str]] = []
        self.planned: list[Outcome | None] = []
        self.sweep = False

    def task(self, cfg: DictConfig) -> None:
        from lossbench.run import planned, run

        settings = HydraConfig.get()
        self.sweep = settings.mode == RunMode.MULTIRUN
        name = " ".join(settings.overrides.task) or "defaults"
        if self.sweep and not cfg.dry:
            _say(f"job {settings.job.num + 1}: {name}")
        try:
            if missing := sorted(OmegaConf.missing_keys(cfg)):
                raise ConfigError("\n".join(map(not_set, missing)))
            config = OmegaConf.to_container(cfg, resolve=True)
            if cfg.dry:
                self._plan(name, planned(config, settings.runtime.choices))  # type: ignore[arg-type]
                return
            self.outcomes.append(run(config, settings.runtime.choices))  # type: ignore[arg-type]
        except ConfigError as error:
            self._failed(name, str(error))
        except OmegaConfBaseException as error:
            self._failed(name, explain(error, settings.overrides.task))
        except BrokenPipeError:
            raise
        except Exception as error:
            traceback.print_exc()
            self._failed(name, f"{type(error).__name__}: {error}")
        else:
            self._announce()

    def _plan(self, name: str, found: Outcome | None) -> None:
        self.planned.append(found)
        _say(f"job {len(self.planned)}: {name}: {f'finished, {found.folder}' if found else 'to do'}")

    def _announce(self) -> None:
        from lossbench.report.summary import run_summary, show

        outcome = self.outcomes[-1]
        if outcome.reused:
            _say(f"finished before: {outcome.folder} (force=true trains again)")
        if not self.sweep:
            show(run_summary(outcome.record, outcome.folder))

    def _failed(self, name: str, why: str) -> None:
        self.failures.append((name, why))
        _fail(f"{name}: {why}" if self.sweep else why)
        if not HydraConfig.get().launcher._target_.endswith("BasicLauncher"):
            # In a worker process nobody reads this list: let the launcher carry the failure home.
            raise ConfigError(f"{name}: {why}")

    def finish(self) -> int:
        """Print the sweep's table, or what is left of it; 1 if a job failed."""
        if self.planned:
            done = [found.record.cost["seconds"] for found in self.planned if found]
            left = len(self.planned) - len(done)
            each = f", about {left * median(done) / 3600:.1f} h at {median(done):.0f} s each" if done else ""
            _say(f"{len(done)} of {len(self.planned)} jobs finished, {left} to do{each if left else ''}")
        if self.sweep and (self.outcomes or self.failures):
            from lossbench.report.summary import show, sweep_summary

            show(sweep_summary([outcome.record for outcome in self.outcomes], self.failures))
        return int(bool(self.failures))


def _say(text: str) -> None:
    print(f"lossbench: {text}", flush=True)


def _fail(text: str) -> int:
    for line in text.splitlines():
        print(f"lossbench: error: {line}", file=sys.stderr, flush=True)
    return 1
