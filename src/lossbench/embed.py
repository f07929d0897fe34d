"""python -m lossbench.embed: embeddings of a folder or an archive of images, made by a trained run."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from lossbench.datasets.decoding import Pixels
    from lossbench.datasets.folders import Found


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0, or 1 with one line for what cannot be read."""
    options = _parser().parse_args(argv)
    try:
        told = embed_images(options.run, options.path, options.out)
    except (ValueError, OSError) as error:
        print(f"lossbench.embed: error: {error}", file=sys.stderr)
        return 1
    paired = options.path.suffix == ".bin"
    lists = ["--protocol", "lfw", "--pairs", options.path] if paired else [options.out / "labels.txt"]
    words = map(str, [options.out / "embeddings.npy", *lists, "--out", options.out])
    print(f"{told}\nevaluate python -m lossbench.evaluate {shlex.join(words)}")
    return 0


def embed_images(run: Path, path: Path, out: Path) -> str:
    """Write embeddings (n, d) float32, identities and files of ``path/<identity>/...``; tells of it."""
    from lossbench.datasets.decoding import Pixels
    from lossbench.datasets.folders import Found, find_images
    from lossbench.readers.archives import read_files
    from lossbench.readers.pairs_bin import read_pairs_bin

    if path.suffix == ".bin":
        # Its images have neither names nor identities: rows keep its order, pair i is rows 2 i and 2 i + 1.
        paired = read_pairs_bin(path).images
        found = Found(path, [f"image {i}" for i in range(len(paired))], [], [])
        encoded: Iterator[tuple[int, bytes]] = enumerate(paired)
    else:
        found = find_images(path)
        place = {name: row for row, name in enumerate(found.files)}
        encoded = ((place[name], data) for name, data in read_files(found.root, found.files))

    import torch

    from lossbench.build import pick_device
    from lossbench.evaluation import embed
    from lossbench.records import read_record
    from lossbench.trained import load_backbone

    device = pick_device("auto")
    backbone, shape, precision = load_backbone(run, device)
    if len(shape) != 3:
        raise ValueError(f"{run}: was trained on vectors of {shape[0]} numbers, not on images")
    out.mkdir(parents=True, exist_ok=True)
    partial = out / "embeddings.partial.npy"
    embeddings = np.lib.format.open_memmap(partial, "w+", np.float32, (len(found.files), backbone.dim))
    channels, height, width = shape
    treated = read_record(run).split.get("facts", {}).get("pixels", {})
    as_trained = Pixels(height=height, width=width, channels=channels, **treated)
    for rows, block in _decoded(found, encoded, as_trained):
        images = torch.from_numpy(np.stack(block)).permute(0, 3, 1, 2).to(device)
        embeddings[rows] = embed(backbone, images, precision=precision).cpu().numpy()
    embeddings.flush()
    partial.replace(out / "embeddings.npy")
    if not found.identities:
        return f"{len(embeddings):,} images in {len(embeddings) // 2:,} pairs, {backbone.dim} numbers each"
    _write_lines(out / "labels.txt", found.identities)
    _write_lines(out / "images.txt", found.origin)
    identities = len(set(found.identities))
    told = f"{len(embeddings):,} images of {identities:,} identities, {backbone.dim} numbers each"
    return told + (f"; passed over, no images: {found.passed_over:,} files" if found.passed_over else "")


def _decoded(
    found: Found, encoded: Iterator[tuple[int, bytes]], pixels: Pixels
) -> Iterator[tuple[list[int], list[np.ndarray]]]:
    """Places in the list of files, and images (h, w, c) uint8."""
    from lossbench.datasets.decoding import decode_all
    from lossbench.datasets.progress import bar

    with bar("embedding", len(found.files)) as advance:
        for block in decode_all(encoded, pixels):
            for row, reason in block.broken.items():
                raise ValueError(f"{found.root / found.files[row]}: {reason}")
            yield block.rows, block.images
            advance(len(block.rows))


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
    return parser


if __name__ == "__main__":
    sys.exit(main())
