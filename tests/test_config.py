"""Every yaml composes and passes check; knobs belong to their heads and losses; faults are named."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.errors import ConfigCompositionException
from omegaconf import OmegaConf

from lossbench.build import make
from lossbench.check import check
from lossbench.config import CAUTIONS, ConfigError, conf_dir, knobs
from lossbench.mistakes import knob_owners, part_options
from lossbench.naming import part_name

CONF = Path(__file__).resolve().parents[1] / "conf"
OPTIONS = [
    f"{path.parent.name}={path.stem}" for path in sorted(CONF.glob("*/*.yaml")) if path.parent.name != "hydra"
]


def resolved(*overrides):
    """The configuration of a command line, and the option chosen per group."""
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        cfg = compose("config", list(overrides), return_hydra_config=True)
        HydraConfig.instance().set_config(cfg)
        choices = dict(cfg.hydra.runtime.choices)
        config = OmegaConf.to_container(cfg, resolve=False)
        del config["hydra"]
        return OmegaConf.to_container(OmegaConf.create(config), resolve=True), choices


def faults(*overrides):
    with pytest.raises(ConfigError) as found:
        check(*resolved(*overrides))
    return str(found.value)


def test_the_checkouts_conf_is_used_and_not_a_stale_copy():
    assert conf_dir() == CONF


# What some options cannot do without.
COMPANY = {
    "head=embedding": ("loss=sup_con",),
    "margin_schedule=linear": ("loss=amsoftmax",),
    "margin_schedule=cosine": ("loss=arcface",),
    "margin_schedule=lambda_annealing": ("head=asoftmax",),
    "backbone=module": ("backbone.module._target_=torch.nn.Flatten",),
    "dataset=torch": ("dataset.train._target_=builtins.list",),
    **{f"dataset={name}": ("dataset.path=mine",) for name in ("csv", "embeddings", "folder", "insightface")},
    **{option: ("dataset.path=mine",) for option in OPTIONS if "=full" in option},
}


@pytest.mark.parametrize("option", [option for option in OPTIONS if option != "loss=distillation"])
def test_every_yaml_composes_and_passes_check(option):
    check(*resolved(option, *COMPANY.get(option, ())))


@pytest.mark.parametrize(
    "option", [o for o in OPTIONS if o.split("=")[0] in ("head", "loss", "backbone", "dataset")]
)
def test_every_part_is_named_after_its_yaml(option):
    group, name = option.split("=")
    config, _ = resolved(option, *COMPANY.get(option, ()))
    text = (CONF / group / f"{name}.yaml").read_text()
    base = re.search(r"- (?:(ce)@loss|(one_vs_all))", text) if group == "loss" else None
    expected = base[1] or base[2] if base else name
    assert part_name(group, config[group]).split()[0] == expected


def test_a_preset_is_its_head_with_cross_entropy():
    preset, _ = resolved("loss=amsoftmax", "m=0.2")
    parts, _ = resolved("head=amsoftmax", "loss=ce", "m=0.2")
    assert preset["head"] == parts["head"]
    assert preset["loss"] == parts["loss"]
    assert preset["head"]["margin"]["m"] == 0.2


PRESETS = {path.stem for path in CONF.glob("loss/*.yaml") if "\npreset:" in path.read_text()} | {
    "distillation"
}


@pytest.mark.parametrize(
    "loss", sorted({path.stem for path in CONF.glob("loss/*.yaml")} - PRESETS - {"distillation"})
)
def test_every_head_goes_with_every_loss(loss):
    for head in ("linear", "normface", "amsoftmax"):
        check(*resolved(f"head={head}", f"loss={loss}"))


def test_a_knob_of_another_loss_is_refused():
    with pytest.raises(ConfigCompositionException, match="Could not override 'm'"):
        resolved("loss=ce", "m=0.35")


def test_knobs_know_who_takes_them():
    owners = knob_owners()
    assert {"head=amsoftmax", "loss=amsoftmax", "head=asoftmax", "loss=asoftmax"} <= set(owners["m"])
    assert not {"head=linear", "loss=ce"} & set(owners["m"])
    assert owners["tau"] == ["loss=info_nce", "loss=sup_con", "loss=temperature"]
    assert owners["center_weight"] == ["regularizer=center", "loss=center"]
    assert all(len(options) == len(set(options)) for options in owners.values())


def test_a_constant_tells_cross_entropy_from_temperature_and_foreign_parts_keep_their_own_name():
    assert (
        part_name("loss", {"_target_": "lossbench.losses.cross_entropy_loss", "_partial_": True, "tau": 1.0})
        == "ce"
    )
    assert part_name("loss", resolved("loss=temperature", "tau=0.1")[0]["loss"]) == "temperature"
    assert part_name("loss", {"_target_": "mine.losses.sharp_loss"}) == "sharp_loss"


def test_a_data_set_is_named_by_its_source_however_it_is_augmented():
    for name in ("glyphs", "cifar10"):
        dataset = resolved(f"dataset={name}", "dataset.augment=null")[0]["dataset"]
        assert dataset["augment"] is None
        assert part_name("dataset", dataset) == name
    assert part_name("dataset", {"source": {"_target_": "mine.Faces"}, "augment": None}) == "Faces"


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (["loss=amsoftmax", "m=-1"], "m=-1: must be a number in [0, 1); a cosine margin"),
        (["loss=amsoftmax", "m=abc"], "m=abc: must be a number in [0, 1)"),
        (["loss=amsoftmax", "m=nan"], "m=nan: must be a"),
        (["loss=amsoftmax", "s=0"], "s=0: must be a number > 0"),
        (["loss=temperature", "tau=0"], "tau=0: must be a number > 0"),
        (["loss=hinge", "delta=-1"], "delta=-1: must be a number > 0"),
        (["loss=crammer_singer", "delta=0"], "delta=0: must be a number > 0"),
        (["loss=label_smoothing", "smoothing=1"], "smoothing=1: must be a number in [0, 1)"),
        (["loss=focal", "gamma=-1"], "gamma=-1: must be a number >= 0"),
        (["loss=squared_normalized", "eps=0"], "eps=0: must be a number > 0"),
        (["lr=0"], "lr=0: must be a number > 0"),
        (["lr=nan"], "lr=nan: must be a"),
        (["seed=-1"], "seed=-1: must be a whole number in [0, "),
        (["seed=1.5"], "seed=1.5: must be a whole number"),
        (["trainer.steps=0"], "trainer.steps=0: must be a whole number >= 1"),
        (["trainer.batch_size=1"], "trainer.batch_size=1: must be a whole number >= 2"),
        (["trainer.weights=first"], "trainer.weights=first: must be last or best"),
        (["precision=fp8"], "precision=fp8: must be one of auto, fp32, bf16"),
        (["device=tpu"], "device=tpu: must be auto, cpu or cuda"),
        (["backbone.dropout=1"], "dropout=1: must be a number in [0, 1)"),
        (["backbone.dim=0"], "widths or dim=0: must be a whole number >= 1"),
        (["protocol.fars=[0]"], "protocol.fars=0: must be a number in (0, 1]"),
        (["loss=amsoftmax", "head=linear"], "the preset amsoftmax stands for head=amsoftmax"),
        (["loss=amsoftmax", "head.s=50"], "head.s=50: set the knob, s=50"),
        (["optimizer.lr=0.1"], "optimizer.lr=0.1: set the knob, lr=0.1"),
        (["loss=sup_con", "samples_per_class=3"], "samples_per_class=3: must divide trainer.batch_size=256"),
        (
            ["loss=sup_con", "samples_per_class=512"],
            "samples_per_class=512: must divide trainer.batch_size=256",
        ),
        (["loss=ce", "samples_per_class=0"], "samples_per_class=0: must be a whole number >= 1"),
        (
            ["loss=amsoftmax", "margin_schedule=linear", "ramp=1", "m=1.5"],
            "m=1.5: must be a number in [0, 1)",
        ),
        (["head=asoftmax", "margin_schedule=linear"], "multiplies the angle by m >= 1"),
        (["head=combined", "margin_schedule=linear", "+m=1"], "head=combined has no m of its own"),
        (
            ["head=adaface", "margin_schedule=cosine"],
            "head=adaface has no margin that a schedule could change",
        ),
        (["head=embedding", "loss=hinge"], "head=embedding: gives no class scores"),
        (["loss=distillation"], "needs teacher=RUN_FOLDER"),
        (["optimizer.weight_decay=nan"], "optimizer.weight_decay=nan: must be a finite number"),
        (["schedule.warmup=1.5"], "warmup=1.5: must be a number in [0, 1)"),
        (["+head.foo=1"], "unexpected keyword argument 'foo'"),
        (["loss._target_=lossbench.losses.no_such_loss"], "no_such_loss"),
        (["dataset.difficulty=-1"], "strength=-1: must be a number >= 0"),
        (["dataset.source.train_identities=0"], "train_identities=0"),
        (
            ["dataset.label_noise=1"],
            "dataset.label_noise=1: must be a number in [0, 1); a share of the train",
        ),
        (["dataset.label_noise=abc"], "dataset.label_noise=abc: must be a number in [0, 1)"),
        (["dataset.long_tail=0"], "dataset.long_tail=0: must be a number >= 1; images of the largest class"),
        (["dataset.leak=-0.5"], "dataset.leak=-0.5: must be a number in [0, 1]; a share of the test"),
    ],
)
def test_a_fault_is_one_line_with_the_argument_the_value_and_the_rule(overrides, line):
    found = faults(*overrides)
    assert line in found
    assert len(found.splitlines()) == 1


def test_all_faults_are_listed_at_once():
    found = faults("loss=amsoftmax", "m=-1", "backbone.dropout=2", "schedule.warmup=7").splitlines()
    assert len(found) == 3


@pytest.mark.parametrize("option", [option for option in OPTIONS if option.startswith("dataset=")])
def test_cautions_go_with_every_dataset_and_are_its_knobs(option):
    config, _ = resolved(option, "dataset.label_noise=0.2", "dataset.long_tail=10", *COMPANY.get(option, ()))
    assert config["dataset"]["source"]["_target_"]
    cautions = {key: value for key, value in knobs(config).items() if key in CAUTIONS}
    assert cautions == {"label_noise": 0.2, "long_tail": 10}


def test_a_misspelt_caution_is_answered_with_its_name():
    assert "dataset.label_noise" in part_options("dataset")
    assert "head.label_noise" not in part_options("head")


def writing_loss(scores, target):
    scores[:, 0] = 0
    return scores.sum(1)


def reducing_loss(scores, target):
    return scores.sum()


def detached_loss(scores, target):
    return scores.detach().sum(1)


def returns_nothing(scores, target):
    return None


def own_loss(scores, target, *, power):
    return scores.abs().sum(1) ** power


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("writing_loss", "writes into its input"),
        ("reducing_loss", "one value per sample"),
        ("detached_loss", "loss: has no gradient"),
        ("returns_nothing", "loss: must return a tensor, got NoneType"),
    ],
)
def test_a_users_loss_is_held_to_the_contract(name, line):
    assert line in faults(f"loss._target_=tests.test_config.{name}", "~loss.tau")


def test_what_rows_a_module_takes_is_not_asked_before_there_are_any():
    module = "backbone.module._target_=torch.nn.Linear"
    words = ["+backbone.module.in_features=2", "+backbone.module.out_features=8", "backbone.channels=null"]
    check(*resolved("dataset=blobs", "backbone=module", module, *words))
    assert "backbone.module: cannot be made" in faults("backbone=module", module, *words[:1])


def test_a_users_own_loss_runs_from_its_dotted_path():
    config, choices = resolved("loss._target_=tests.test_config.own_loss", "~loss.tau", "+loss.power=2")
    check(config, choices)
    assert part_name("loss", config["loss"]) == "own_loss"


def test_partials_are_plain_ones_without_a_cost_at_every_call():
    config, _ = resolved("loss=amsoftmax")
    head = make(config["head"], dim=4, classes=3)
    made = [head.margin, make(config["loss"]), make(config["schedule"]), make(config["dataset"]["augment"])]
    steps = [config["dataset"]["augment"]]
    composed = make({"_target_": "lossbench.augment.compose", "_partial_": True, "steps": steps})
    assert [type(part) for part in (*made, *composed.keywords["steps"])] == [partial] * 5
