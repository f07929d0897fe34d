"""Training against a bare loop in plain torch, and what is said about it on the way."""

from __future__ import annotations

import logging
import math
from functools import partial
from types import SimpleNamespace

import pytest
import torch

from lossbench import build
from lossbench.config import ConfigError
from lossbench.heads import CosineHead, LinearHead
from lossbench.lightning.checkpoints import checkpoint_step
from lossbench.lightning.datamodule import InMemory
from lossbench.lightning.divergence import DivergedError
from lossbench.lightning.fit import fit
from lossbench.lightning.history import HistoryLogger
from lossbench.records import read_history
from lossbench.run import run
from tests.test_config import resolved

CPU = torch.device("cpu")
BASE = ("dataset=digits", "backbone=mlp", "trainer=smoke", "logger=none", "figures=false", "progress=false")


def parts(*overrides):
    """Configuration, data and untrained module of a command line."""
    config, _ = resolved(*BASE, *overrides)
    data = build.make_data(config, CPU)
    module = build.make_training(config, shape=data.shape, counts=data.dataset.counts())
    return SimpleNamespace(config=config, data=data, module=module)


def train(folder, made, **options):
    """Train for 8 steps of 64 rows, every step logged, unless told otherwise; the rows of metrics.csv."""
    history = HistoryLogger(folder)
    seed = made.config["seed"]
    settings = {"steps": 8, "validations": 0, "precision": "fp32", "log_every": 1, "checkpoint_every": 1000}
    settings |= {"progress": False, "resume": None, "seed": seed, "loggers": [history]} | options
    made.fitted = fit(made.module, InMemory(made.data, batch_size=64, seed=seed), folder, **settings)
    history.finalize("success")
    return read_history(folder)


def weights(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


# initial weights


def test_every_head_starts_from_the_same_backbone_and_its_own_seeded_weights():
    heads = ("head=linear", "head=normface", "head=amsoftmax")
    first, *others = (weights(parts("seed=3", head).module.backbone) for head in heads)
    assert first
    for other in others:
        assert all(torch.equal(first[name], other[name]) for name in first)
    plain, margined = (parts("seed=3", head).module.head for head in heads[1:])
    assert torch.equal(plain.weight, margined.weight)


def test_initial_weights_follow_from_the_seed_alone():
    torch.manual_seed(11)
    first = weights(parts("seed=0").module)
    torch.manual_seed(12)
    again = weights(parts("seed=0", "loss=hinge").module)
    other = weights(parts("seed=1").module)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["backbone.layers.1.weight"], other["backbone.layers.1.weight"])
    assert not torch.equal(first["head.weight"], other["head.weight"])


# the loop


def bare_loop(made, steps):
    """The same training in plain torch: losses, gradient norms and learning rates of every step."""
    module, config = made.module, made.config
    optimizer = torch.optim.SGD(
        module.parameters(), lr=config["lr"], momentum=0.9, nesterov=True, weight_decay=5e-4
    )
    loader = InMemory(made.data, batch_size=64, seed=config["seed"])
    told, step = [], 0
    while step < steps:
        loader.trainer = SimpleNamespace(current_epoch=step // 16)  # 1079 rows make 16 batches of 64
        for rows, target in loader.train_dataloader():
            rise = round(0.15 * steps)
            factor = (step + 1) / rise
            if step >= rise:
                factor = (1 + math.cos(math.pi * (step - rise) / (steps - rise))) / 2
            optimizer.param_groups[0]["lr"] = factor * config["lr"]
            loss = module.loss(module.head(module.backbone(rows), target), target).mean()
            optimizer.zero_grad()
            loss.backward()
            norm = math.sqrt(sum(float(p.grad.double().square().sum()) for p in module.parameters()))
            if norm > config["trainer"]["clip"]:
                for parameter in module.parameters():
                    parameter.grad.mul_(config["trainer"]["clip"] / (norm + 1e-6))
            optimizer.step()
            told.append((loss.item(), norm, factor * config["lr"]))
            step += 1
            if step == steps:
                break
    return told


@pytest.mark.parametrize("overrides", [("loss=ce", "trainer.clip=0.1"), ("loss=amsoftmax",), ("loss=hinge",)])
def test_training_is_that_of_a_bare_loop(tmp_path, overrides):
    bare, made = parts("seed=1", "lr=0.05", *overrides), parts("seed=1", "lr=0.05", *overrides)
    rows = train(tmp_path, made, steps=25)
    expected = bare_loop(bare, 25)  # an epoch and a half
    assert [row["step"] for row in rows] == list(range(25))
    assert [row["train/lr"] for row in rows] == pytest.approx([lr for _, _, lr in expected], rel=1e-12)
    assert [row["train/loss"] for row in rows] == pytest.approx([loss for loss, _, _ in expected], rel=1e-2)
    assert [row["train/grad_norm"] for row in rows] == pytest.approx([n for _, n, _ in expected], rel=5e-2)
    assert any(norm > made.config["trainer"]["clip"] for _, norm, _ in expected), "nothing was clipped"
    for name, value in weights(bare.module).items():
        torch.testing.assert_close(made.module.state_dict()[name], value, rtol=2e-2, atol=5e-3)


def test_the_gradient_norm_recorded_is_the_one_before_clipping(tmp_path):
    made, twin = parts("trainer.clip=0.01"), parts()
    first = train(tmp_path, made, steps=1)[0]
    rows, target = next(iter(InMemory(twin.data, batch_size=64, seed=0).train_dataloader()))
    loss = twin.module.loss(twin.module.head(twin.module.backbone(rows)), target).mean()
    squares = [
        gradient.square().sum().item() for gradient in torch.autograd.grad(loss, twin.module.parameters())
    ]
    assert first["train/loss"] == pytest.approx(loss.item(), rel=1e-5)
    assert first["train/grad_norm"] == pytest.approx(math.sqrt(math.fsum(squares)), rel=1e-4)
    assert first["train/grad_norm"] > 0.01


def test_rows_are_logged_at_the_first_step_every_so_many_and_the_last(tmp_path):
    rows = train(tmp_path, parts(), steps=20, log_every=6)
    assert [row["step"] for row in rows] == [0, 6, 12, 18, 19]
    expected = {"step", "epoch", "train/loss", "train/grad_norm", "train/lr"}
    expected |= {"train/target_cosine", "train/cosine_gap", "train/margin_satisfied"}
    assert all(set(row) == expected for row in rows)
    assert [row["epoch"] for row in rows] == [0, 0, 0, 1, 1]


def test_the_learning_rate_logged_is_the_schedules(tmp_path):
    made = parts("schedule=step_decay", "schedule.milestones=[0.25,0.5]", "schedule.factor=0.1", "lr=0.4")
    rows = train(tmp_path, made, steps=8)
    assert [row["train/lr"] for row in rows] == pytest.approx([0.4] * 2 + [0.04] * 2 + [0.004] * 4)


def test_the_validation_split_is_looked_at_as_often_as_asked(tmp_path):
    rows = train(tmp_path, parts(), steps=64, validations=2, log_every=100)
    looks = [row for row in rows if "val/auc" in row]
    assert [row["step"] for row in looks] == [31, 63]  # the last of 4 epochs of 16 steps, and half way
    for row in looks:
        assert {"val/auc", "val/eer", "val/tar_far_1e_2"} <= set(row)
        assert 0 <= row["val/eer"] < 0.5 < row["val/auc"] <= 1
    assert (tmp_path / "checkpoints" / "best.ckpt").exists()


def test_training_leaves_no_gradient_in_what_is_logged_and_the_module_has_moved(tmp_path):
    made = parts()
    before = weights(made.module)
    train(tmp_path, made)
    assert made.fitted.steps == 8
    assert not torch.equal(before["head.weight"], made.module.state_dict()["head.weight"])


def test_dropout_is_the_same_for_every_head(tmp_path):
    seen = {}

    def spy(name):
        def hook(module, inputs, output):
            seen.setdefault(name, []).append((output == 0).clone())

        return hook

    for head in ("linear", "amsoftmax"):
        made = parts("backbone.dropout=0.5", f"head={head}")
        made.module.backbone.register_forward_hook(spy(head))
        train(tmp_path / head, made, steps=3)
    assert len(seen["linear"]) == 3
    for one, other in zip(seen["linear"], seen["amsoftmax"], strict=True):
        assert torch.equal(one, other)
        assert 0.4 < one.float().mean() < 0.6
    assert not torch.equal(seen["linear"][0], seen["linear"][1])


# precision


def test_under_bf16_the_backbone_computes_in_bf16_and_head_and_loss_in_float32(tmp_path):
    made = parts("loss=amsoftmax")
    seen = {"embedding": set(), "scores": set(), "loss": set(), "weights": set()}
    head, loss = made.module.head.forward, made.module.loss
    made.module.backbone.register_forward_hook(lambda *call: seen["embedding"].add(call[2].dtype))

    def spying_loss(scores, target):
        values = loss(scores, target)
        if scores.requires_grad:  # the loss to expect is worked out in double precision
            seen["loss"].add(values.dtype)
        return values

    def spying_head(embedding, target=None):
        scores = head(embedding, target)
        seen["scores"] |= {embedding.dtype, scores.dtype}
        seen["weights"].add((made.module.head.weight @ made.module.head.weight.T).dtype)  # autocast is off
        return scores

    made.module.head.forward, made.module.loss = spying_head, spying_loss
    train(tmp_path, made, steps=3, precision="bf16")
    assert seen["embedding"] == {torch.bfloat16}
    assert seen["scores"] == seen["loss"] == seen["weights"] == {torch.float32}
    assert {value.dtype for value in made.module.parameters()} == {torch.float32}


# the loss to expect


class LoudHead(LinearHead):
    """A linear head that starts a thousand times too large."""

    def __init__(self, dim, classes):
        super().__init__(dim, classes)
        self.weight.data.mul_(1000)


class TwiceScaledHead(CosineHead):
    """The classic mistake: the scale applied twice."""

    def forward(self, embedding, target=None):
        return self.s * super().forward(embedding, target)


def warnings_of(caplog, tmp_path, made):
    with caplog.at_level(logging.WARNING, logger="lossbench"):
        train(tmp_path, made, steps=1)
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("loss", ["ce", "hinge", "amsoftmax", "normface", "temperature"])
def test_a_right_initial_loss_is_not_remarked_upon(tmp_path, caplog, loss, seed):
    made = parts(f"loss={loss}", f"seed={seed}")
    assert warnings_of(caplog, tmp_path, made) == []
    assert made.fitted.expected_loss.agrees(made.fitted.initial_loss)


@pytest.mark.parametrize(
    ("loss", "expected"), [("ce", math.log(10)), ("hinge", 9.0), ("temperature", math.log(10))]
)
def test_linear_heads_start_from_the_loss_of_equal_scores(tmp_path, loss, expected):
    made = parts(f"loss={loss}")
    first = train(tmp_path, made, steps=1)[0]
    assert made.fitted.initial_loss == first["train/loss"]
    assert made.fitted.initial_loss == pytest.approx(expected, rel=0.02)
    assert made.fitted.expected_loss.mean == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("head", [LoudHead, partial(TwiceScaledHead, s=30.0)])
def test_a_wrong_scale_shows_at_the_first_step(tmp_path, caplog, head):
    made = parts()
    made.module.head = head(64, 10)
    (line,) = warnings_of(caplog, tmp_path, made)
    measured, expected = made.fitted.initial_loss, made.fitted.expected_loss.mean
    assert line.startswith(f"initial loss {measured:.3f}, expected {expected:.3f} +- ")
    assert "check the scale" in line


def test_a_head_that_cannot_be_looked_at_trains_without_diagnostics(tmp_path, caplog):
    class Plain(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(64, 10)

        def forward(self, embedding, target=None):
            return self.layer(embedding)

    made = parts()
    made.module.head = Plain()
    assert warnings_of(caplog, tmp_path, made) == []
    assert set(train(tmp_path, made)[0]) == {"step", "epoch", "train/loss", "train/grad_norm", "train/lr"}
    assert made.fitted.expected_loss is None


# divergence


def test_a_run_that_diverges_stops_in_one_line_and_leaves_no_result(tmp_path):
    overrides = ("lr=1e12", "schedule.warmup=0", "trainer.steps=40", "log_every=7", "checkpoint_every=0")
    with pytest.raises(DivergedError) as found:
        run(*resolved(*BASE, *overrides, f"run_root={tmp_path}"))
    line = str(found.value)
    assert isinstance(found.value, ConfigError)  # which the command line answers with one line
    assert len(line.splitlines()) == 1
    assert line.startswith("training diverged at step ")
    assert "lower lr" in line
    assert not list(tmp_path.rglob("result.json"))


def nan_after(steps, loss):
    """``loss`` for so many training steps, then NaN."""
    done = []

    def turning(scores, target):
        values = loss(scores, target)
        done.append(scores.requires_grad)
        return values * math.nan if sum(done) > steps else values

    return turning


@pytest.mark.parametrize("log_every", [1, 1000])
def test_a_loss_that_turns_nan_stops_at_its_step_with_the_sample_named(tmp_path, log_every):
    made = parts("loss=normface")
    made.module.loss = nan_after(3, made.module.loss)
    told = r"diverged at step 3: loss=nan, gradient norm nan; worst sample: class \d, embedding norm [\d.]+, "
    told += r"cosine -?[\d.]+, scale 30; lower lr"
    with pytest.raises(DivergedError, match=told):
        train(tmp_path, made, steps=20, log_every=log_every)
    assert all(value.isfinite().all() for value in made.module.state_dict().values())


def test_the_checkpoint_kept_is_one_from_before_the_loss_turned_nan(tmp_path):
    made = parts()
    made.module.loss = nan_after(20, made.module.loss)
    with pytest.raises(DivergedError):
        train(tmp_path, made, steps=64, log_every=63, checkpoint_every=0)
    path, step = checkpoint_step(tmp_path)
    assert step == 16
    state = torch.load(path, weights_only=True)["state_dict"]
    assert all(value.isfinite().all() for value in state.values())


# what is on disk


def test_a_checkpoint_holds_tensors_and_plain_values_only(tmp_path):
    train(tmp_path, parts(), checkpoint_every=0)
    path, step = checkpoint_step(tmp_path)
    assert step == 8
    assert path == tmp_path / "checkpoints" / "last.ckpt"
    assert "state_dict" in torch.load(path, weights_only=True)


def test_a_folder_without_checkpoints_has_nothing_to_go_on_from(tmp_path):
    assert checkpoint_step(tmp_path) is None


def test_the_progress_bar_goes_to_stderr_and_to_the_end(tmp_path, capfd):
    train(tmp_path, parts(), progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "8/8" in err
