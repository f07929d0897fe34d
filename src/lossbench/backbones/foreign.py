"""Any torch module from elsewhere as a backbone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor, nn

from lossbench.validate import check_range


class Foreign(nn.Module):
    """What ``module()`` returns, fed with rows of the channels and the size it takes.

    It must return embeddings (n, d), or (n, d, 1, 1), which are flattened. A dry run in eval mode finds d; it
    changes neither the random state nor any buffer.

    module: makes the network; channels: grey images are repeated to so many, None leaves them;
    size: images are resized (bilinear) to so many pixels a side, None leaves them;
    dim: a linear layer to this embedding size follows, None takes what the network returns.
    """

    def __init__(
        self,
        shape: Sequence[int],
        *,
        module: Callable[[], nn.Module],
        channels: int | None,
        size: int | None,
        dim: int | None,
    ) -> None:
        super().__init__()
        for name, value in {"channels": channels, "size": size, "dim": dim}.items():
            if value is not None:
                check_range(name, value, low=1, integer=True)
        _check_rows(shape, channels, size)
        self.channels = channels
        self.size = size
        self.module = made_module(module)
        found = self._dry_run(shape)
        self.embed = nn.Identity() if dim is None else nn.Linear(found, dim)
        self.dim = found if dim is None else dim

    def forward(self, rows: Float[Tensor, "n ..."]) -> Float[Tensor, "n d"]:
        return self.embed(self.module(self._taken(rows)).flatten(1))

    def _taken(self, rows: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        """Rows as the network takes them."""
        if self.channels is not None and rows.shape[1] == 1:
            rows = rows.expand(-1, self.channels, -1, -1)
        if self.size is not None and rows.shape[2:] != (self.size, self.size):
            rows = F.interpolate(rows, (self.size, self.size), mode="bilinear", antialias=True)
        return rows

    def _dry_run(self, shape: Sequence[int]) -> int:
        """Embedding size of the network for rows of this shape."""
        modes = {part: part.training for part in self.modules()}
        try:
            # Two rows: a network that squeezes its output would take a single one for a size of 1.
            with torch.random.fork_rng(devices=[]), torch.no_grad():
                out = self.eval().module(self._taken(torch.zeros(2, *shape)))
        except Exception as error:
            raise ValueError(
                f"backbone.module: fails on rows of shape {tuple(shape)} ({_one_line(error)}); "
                "backbone.channels and backbone.size say what it takes"
            ) from error
        for part, training in modes.items():
            part.training = training
        if not isinstance(out, Tensor) or out.ndim < 2 or out.flatten(1).shape != out.shape[:2]:
            raise ValueError(
                f"backbone.module: returns {_described(out)} for 2 rows, not (2, d); "
                "choose its pooling, or wrap it in a function that gives one embedding a row"
            )
        return out.shape[1]


def _check_rows(shape: Sequence[int], channels: int | None, size: int | None) -> None:
    if len(shape) != 3 and (channels is not None or size is not None):
        raise ValueError(
            f"channels={channels}, size={size}: rows of shape {tuple(shape)} are no images; set both to null"
        )
    if channels is not None and shape[0] not in (1, channels):
        raise ValueError(
            f"channels={channels}: images have {shape[0]}, only grey ones are repeated; set it to {shape[0]}"
        )


def made_module(module: Callable[[], nn.Module]) -> nn.Module:
    """What ``module()`` returns; ValueError in one line where that is no module."""
    try:
        made = module()
    except Exception as error:
        raise ValueError(f"backbone.module: cannot be made ({_one_line(error)})") from error
    if not isinstance(made, nn.Module):
        raise ValueError(f"backbone.module: makes a {type(made).__name__}, not a torch.nn.Module")
    return made


def _described(out: object) -> str:
    return f"shape {tuple(out.shape)}" if isinstance(out, Tensor) else f"a {type(out).__name__}"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
