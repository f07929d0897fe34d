"""What an evaluation of embeddings in files is asked for, and what cannot be asked together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lossbench.config import ConfigError
from lossbench.protocols.resampled import FEWEST_REPLICATES
from lossbench.readers import sha256_of

LABELLED = ("verification", "identification")
_IJB = ("ijb_verification", "ijb_identification")
# field of Request: the protocols that read it.
_READERS = {
    "pairs": ("lfw", "ijb_verification"),
    "trials": ("blufr",),
    "distractors": ("megaface", "identification"),
    "cleaned": ("megaface",),
    "rule": ("lfw",),
    "flip": ("lfw", *_IJB),
    "media": _IJB,
    "detector": _IJB,
    "unit": _IJB,
    "gallery": ("ijb_identification",),
    "probes": ("ijb_identification",),
    "against": LABELLED,
}
_NEEDS = {
    "lfw": ("pairs",),
    "megaface": ("distractors",),
    "ijb_verification": ("media", "pairs"),
    "ijb_identification": ("media", "gallery", "probes"),
}
_LISTS = ("pairs", "trials", "media", "detector", "gallery", "probes")


@dataclass(frozen=True)
class Request:
    """What to evaluate, on which rules, and where to write it.

    protocols: of those that the command knows. against: embeddings of the same rows by another system.
    pairs, trials, distractors, media, detector, gallery, probes: files that some protocols read.
    rule: of lfw, how its threshold is chosen. unit: of IJB, whether images are made unit vectors beforehand.
    flip, cleaned: how rows came from an image and its mirror image, and whether mislabelled images were left
    out; only written down.
    """

    embeddings: Path
    labels: Path | None
    out: Path
    protocols: tuple[str, ...]
    bootstrap: int
    seed: int
    name: str | None = None
    dataset: str | None = None
    against: Path | None = None
    pairs: Path | None = None
    trials: Path | None = None
    distractors: Path | None = None
    cleaned: bool = False
    rule: str | None = None
    flip: str | None = None
    media: Path | None = None
    detector: Path | None = None
    unit: bool = False
    gallery: tuple[Path, ...] = ()
    probes: Path | None = None
    figures: bool = True
    force: bool = False

    @property
    def labelled(self) -> bool:
        """Whether rows have labels; otherwise lists alone tell what they show."""
        images = self.pairs is not None and self.pairs.suffix == ".bin"
        return not set(self.protocols) & set(_IJB) and not ("lfw" in self.protocols and images)


def check_request(request: Request) -> None:
    """Refuse options that the protocols asked for would not read, and lists that they miss."""
    for option, protocols in _READERS.items():
        if getattr(request, option) and not set(protocols) & set(request.protocols):
            raise ConfigError(f"--{option}: only --protocol {' or '.join(protocols)} reads it")
    for protocol in request.protocols:
        missing = [f"--{option} FILE" for option in _NEEDS.get(protocol, ()) if not getattr(request, option)]
        if missing:
            raise ConfigError(f"--protocol {protocol}: needs {', '.join(missing)}")
    if request.labels and not request.labelled:
        raise ConfigError(f"LABELS {request.labels}: leave it out, the lists tell what each row shows")
    if request.against and request.distractors:
        raise ConfigError("--against: the other system has no rows of --distractors; leave one of them out")
    if request.against and not request.bootstrap:
        raise ConfigError(f"--against: needs --bootstrap of at least {FEWEST_REPLICATES}")
    if 0 < request.bootstrap < FEWEST_REPLICATES:
        raise ConfigError(
            f"--bootstrap {request.bootstrap}: give {FEWEST_REPLICATES} or more, or 0 for no intervals"
        )
    if request.out.exists() and not request.out.is_dir():
        raise ConfigError(f"--out {request.out}: is a file; give a folder")


def asked_rules(request: Request) -> dict[str, Any]:
    """What decides the numbers, beside the rows: rules, and the digests of lists."""
    lists: dict[str, list[dict[str, str]]] = {}
    for option in _LISTS:
        value = getattr(request, option)
        paths = value if isinstance(value, tuple) else (value,) if value else ()
        if paths:
            lists[option] = [{"name": path.name, "sha256": sha256_of(path)} for path in paths]
    asked = {"names": list(request.protocols), "bootstrap": request.bootstrap, "seed": request.seed}
    rules = {"cleaned": request.cleaned, "rule": request.rule, "flip": request.flip, "unit": request.unit}
    return {**asked, **rules, "lists": lists}
