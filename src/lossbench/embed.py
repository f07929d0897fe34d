"""python -m lossbench.embed: embeddings of a folder or an archive of images, made by a trained run."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lossbench.command import finish
from lossbench.records import run_folder_of

if TYPE_CHECKING:
    from lossbench.datasets.decoding import Encoded, Pixels
    from lossbench.datasets.folders import Found

_EMBEDDINGS, _BROKEN = "embeddings.npy", "broken.txt"
_BLOCK = 65536


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0, or 1 with one line for what cannot be read."""
    options = _parser().parse_args(argv)
    options.run = run_folder_of(options.run)
    try:
        told = embed_images(options.run, options.path, options.out, skip_broken=options.skip_broken)
    except (ValueError, OSError) as error:
        named = isinstance(error, OSError) and error.filename
        reason = f"{error.filename}: {error.strerror}" if named else str(error)  # type: ignore[union-attr]
        print(f"lossbench.embed: error: {reason}", file=sys.stderr)
        return 1
    paired = options.path.suffix == ".bin"
    lists = ["--protocol", "lfw", "--pairs", options.path] if paired else [options.out / "labels.txt"]
    source = options.path.resolve()
    rows = source.name if source.is_dir() else source.stem
    names = ["--name", options.run.resolve().name, "--dataset", rows]
    words = map(str, [options.out / _EMBEDDINGS, *lists, "--out", options.out, *names])
    print(f"{told}\nevaluate python -m lossbench.evaluate {shlex.join(words)}")
    return 0


def embed_images(run: Path, path: Path, out: Path, *, skip_broken: bool = False) -> str:
    """Write embeddings (n, d) float32, identities and files of ``path/<identity>/...``; tells of it.

    skip_broken: leave out images that cannot be read, and name them with the reason in ``broken.txt``.
    """
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out {out}: is a file; give a folder")
    if skip_broken and path.suffix == ".bin":
        raise ValueError("--skip-broken: the pairs of a .bin need all of its images")
    found, encoded = _find(path)

    import torch

    from lossbench.build import pick_device
    from lossbench.datasets.decoding import Pixels
    from lossbench.evaluate_splits import embed
    from lossbench.records import read_record
    from lossbench.trained import load_backbone

    device = pick_device("auto")
    backbone, shape, precision = load_backbone(run, device)
    if len(shape) != 3:
        raise ValueError(f"{run}: was trained on vectors of {shape[0]} numbers, not on images")
    out.mkdir(parents=True, exist_ok=True)
    channels, height, width = shape
    treated = read_record(run).split.get("facts", {}).get("pixels", {})
    as_trained = Pixels(height=height, width=width, channels=channels, **treated)
    broken: dict[int, str] = {}
    with _whole(out / _EMBEDDINGS, (len(found.files), backbone.dim), broken) as embeddings:
        for rows, block in _decoded(found, encoded, as_trained, broken if skip_broken else None):
            images = torch.from_numpy(np.stack(block)).permute(0, 3, 1, 2).to(device)
            embeddings[rows] = embed(backbone, images, precision=precision).cpu().numpy()
    return f"{_write_lists(out, found, broken)}, {backbone.dim} numbers each{_left_out(out, found, broken)}"


def _find(path: Path) -> tuple[Found, Iterator[Encoded]]:
    """The images of a folder, an archive or a .bin, and their bytes by place in that list."""
    from lossbench.datasets.folders import Found, find_images
    from lossbench.readers.archives import each_file
    from lossbench.readers.pairs_bin import read_pairs_bin

    if path.suffix == ".bin":
        # Its images have neither names nor identities: rows keep its order, pair i is rows 2 i and 2 i + 1.
        paired = read_pairs_bin(path).images
        return Found(path, [f"image {i}" for i in range(len(paired))], [], []), enumerate(paired)
    found = find_images(path)
    place = {name: row for row, name in enumerate(found.files)}
    return found, ((place[name], data) for name, data in each_file(found.root, found.files))


def _write_lists(out: Path, found: Found, broken: Mapping[int, str]) -> str:
    """Write who and which file each row is, and which images are left out; tells how many there are."""
    kept = [row for row in range(len(found.files)) if row not in broken]
    (out / _BROKEN).unlink(missing_ok=True)  # of an earlier call
    if broken:
        _write_lines(out / _BROKEN, [f"{found.files[row]}: {why}" for row, why in sorted(broken.items())])
    if not found.identities:
        return f"{len(kept):,} images in {len(kept) // 2:,} pairs"
    identities = [found.identities[row] for row in kept]
    _write_lines(out / "labels.txt", identities)
    _write_lines(out / "images.txt", [found.origin[row] for row in kept])
    return f"{len(kept):,} images of {len(set(identities)):,} identities"


def _left_out(out: Path, found: Found, broken: Mapping[int, str]) -> str:
    told = f"; passed over, no images: {found.passed_over:,} files" if found.passed_over else ""
    return told + (f"; left out, broken: {len(broken):,}, named in {out / _BROKEN}" if broken else "")


@contextmanager
def _whole(path: Path, shape: tuple[int, int], broken: Mapping[int, str]) -> Iterator[np.ndarray]:
    """An array that becomes ``path`` at the end, without ``broken`` rows, or is gone if anything fails."""
    partial = path.with_suffix(".partial.npy")
    try:
        rows = np.lib.format.open_memmap(partial, "w+", np.float32, shape)
        yield rows
        if broken:
            kept = np.setdiff1d(np.arange(len(rows)), list(broken))
            if not len(kept):
                raise ValueError("not one image can be read; python -m lossbench.data check PATH tells why")
            whole, every = partial.with_suffix(".kept.npy"), rows
            rows = np.lib.format.open_memmap(whole, "w+", np.float32, (len(kept), shape[1]))
            for start in range(0, len(kept), _BLOCK):
                rows[start : start + _BLOCK] = every[kept[start : start + _BLOCK]]
            whole.replace(partial)
        rows.flush()
        partial.replace(path)
    finally:
        for left in (partial, partial.with_suffix(".kept.npy")):
            left.unlink(missing_ok=True)


def _decoded(
    found: Found, encoded: Iterator[Encoded], pixels: Pixels, broken: dict[int, str] | None
) -> Iterator[tuple[list[int], list[np.ndarray]]]:
    """Places in the list of files, and images (h, w, c) uint8; ``broken`` takes the others, if any may be."""
    from lossbench.datasets.decoding import decode_all
    from lossbench.datasets.progress import bar

    with bar("embedding", len(found.files)) as advance:
        for block in decode_all(encoded, pixels):
            for row, reason in block.broken.items():
                path = str(found.root / found.files[row])
                reason = reason.removeprefix(f"{path}: ")  # of a file that cannot be opened
                if broken is None:
                    cure = "; --skip-broken leaves such images out" if found.identities else ""
                    raise ValueError(f"{path}: {reason}{cure}")
                broken[row] = reason
            if block.rows:
                yield block.rows, block.images
            advance(len(block.rows) + len(block.broken))


def _write_lines(path: Path, lines: Sequence[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lossbench.embed",
        description="Embeddings of images by a trained run: DIR/embeddings.npy, labels.txt, images.txt.",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a finished run")
    told = "folder, .tar, .tar.gz or .zip with one folder of images an identity; or pairs in a .bin"
    parser.add_argument("path", type=Path, metavar="PATH", help=told)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where to write")
    parser.add_argument(
        "--skip-broken",
        action="store_true",
        help="leave out images that cannot be read; DIR/broken.txt names them",
    )
    return parser


if __name__ == "__main__":
    finish(main, "lossbench.embed")
