import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from lossbench.config import conf_dir
from tests.test_config import resolved

HEADS = sorted({path.stem for path in conf_dir().glob("head/*.yaml")} - {"embedding", "linear"})


def head(name):
    torch.manual_seed(0)
    config = OmegaConf.create(resolved(f"head={name}")[0]["head"])
    sizes = {"counts": [3] * 5} if name == "ldam" else {}
    return instantiate(config, dim=8, classes=5, **sizes)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", HEADS)
def test_a_head_inside_autocast_gives_what_it_gives_outside(name, dtype):
    embedding = torch.randn(6, 8, generator=torch.Generator().manual_seed(3)).to(dtype)
    target = torch.tensor([0, 1, 2, 3, 4, 0])
    outside, inside = head(name), head(name)
    expected = outside(embedding.float(), target)
    with torch.autocast("cpu", dtype=dtype):
        found = inside(embedding, target)
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)
    found.logsumexp(1).sum().backward()
    expected.logsumexp(1).sum().backward()
    assert torch.equal(inside.weight.grad, outside.weight.grad)
