"""Mistakes on the command line, each answered in one line that shows the right form."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches

from lossbench.config import SETTINGS, conf_dir, flatten, read_yaml

_HYDRA_FLAGS = (
    "--help", "--hydra-help", "--version", "--cfg", "--resolve", "--package", "--run", "--multirun",
    "--shell-completion", "--config-path", "--config-name", "--config-dir", "--experimental-rerun", "--info",
)  # fmt: skip


def misplaced_dash(arguments: Sequence[str]) -> str | None:
    """The answer to ``-m 0.35`` or ``--m=0.35``: Hydra takes both for its multirun flag."""
    for argument, following in zip(arguments, [*arguments, ""][1:], strict=True):
        if argument in ("-m", "--multirun", "--m") and re.fullmatch(r"[-+.\d][\d.eE+-]*", following):
            return (
                f"{argument} {following}: -m starts a sweep; the margin is set without a dash: m={following}"
            )
        option, _, value = argument.partition("=")
        if option.startswith("--") and option not in _HYDRA_FLAGS:
            right = f"{option.lstrip('-')}={value or following or '...'}"
            return f"{argument}: options of lossbench have no dashes: {right}"
    return None


def not_set(key: str) -> str:
    """The answer to a value that only the user can give."""
    example = {"path": "$HOME/faces", "_target_": "mypackage.MyClass"}.get(key.rpartition(".")[2], "...")
    return f"{key} is not set: give it as {key}={example}"


def explain(error: BaseException, arguments: Sequence[str]) -> str:
    """One line for what Hydra or the operating system refused."""
    text = str(error).strip()
    unknown = re.search(r"[Cc]ould not override '([^']+)'", text)
    missing = re.search(r"Could not find '([^']+)/([^'/]+)'", text)
    if type(error).__name__ == "OverrideParseException":
        return _unparsed(arguments) or " ".join(text.split())
    if missing:
        options = [name for name in getattr(error, "options", None) or [] if name]
        return f"{missing[1]}={missing[2]}: no such {missing[1]}; {_among(missing[2], options)}"
    if unknown and "No match in the defaults list" not in text:
        return _unknown_key(unknown[1])
    missing_knob = re.match(r"Interpolation key '(\w+)' not found", text)
    if missing_knob:
        schedule = next((word for word in arguments if word.startswith("margin_schedule=")), None)
        where = schedule or text.partition("full_key: ")[2].split("\n")[0]
        return f"{where}: the chosen head has no {missing_knob[1]}"
    unset = re.search(r"Missing mandatory value: ([\w.]+)", text)
    if unset:
        return not_set(unset[1])
    if "Ambiguous value for argument" in text:
        return f"{text.split(chr(39))[1]}: several values are a sweep: add -m"
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}; set run_root to a folder that can be written"
    return " ".join(text.split()) or type(error).__name__


def _unparsed(arguments: Sequence[str]) -> str | None:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parser = OverridesParser.create()
    for argument in (word for word in arguments if not word.startswith("-")):
        try:
            parser.parse_override(argument)
        except Exception:
            name, equals, value = argument.partition("=")
            if not equals:
                return f"{argument}: options are written name=value"
            if "~" in value:
                return f"{argument}: write $HOME instead of ~ (no shell expands it here): {name}=$HOME..."
            return f"{argument}: quote a value with spaces, brackets or signs twice: '{name}=\"{value}\"'"
    return None


def _unknown_key(key: str) -> str:
    owners = knob_owners()
    if key in owners:
        # A preset says it all: the head it stands for need not be named beside it.
        presets = {option.replace("loss=", "head=") for option in owners[key] if option.startswith("loss=")}
        shown = [option for option in owners[key] if option not in presets]
        return f"{key}: the chosen head and loss take no {key}; these do: {', '.join(shown)}"
    group, _, own = key.partition(".") if "." in key else ("", "", key)
    knob = own.rpartition(".")[2]
    if group and owners.get(knob, ["any run"]) != ["any run"]:
        return f"{key}: set the knob, {knob}=..."
    if group and (having := part_owners(key)):
        return f"{key}: the chosen {group} takes no {own}; these do: {', '.join(having)}"
    known = [name.removeprefix(f"{group}.") for name in part_options(group)] if group else sorted(owners)
    close = get_close_matches(own, known, n=1)
    meant = f" did you mean {group}{'.' * bool(group)}{close[0]}?;" if close else ""
    return f"{key}: no such option;{meant} --cfg job shows those of your choice"


def _among(word: str, options: Sequence[str]) -> str:
    close = get_close_matches(word, options, n=1)
    return f"did you mean {close[0]}?" if close else f"there are {', '.join(options) or 'none'}"


def knob_owners() -> dict[str, list[str]]:
    """Top-level names that can be set, each with the options (``head=amsoftmax``) that bring it."""
    owners: dict[str, list[str]] = {name: ["any run"] for name in (*SETTINGS, "samples_per_class")}
    presets = []
    for path in sorted(conf_dir().glob("*/*.yaml")):
        body = read_yaml(path)
        named = path.parent.name in ("experiment", "sweep")  # these set knobs and bring none
        if named or not path.read_text().startswith("# @package _global_"):
            continue
        option = f"{path.parent.name}={path.stem}"
        if isinstance(body.get("preset"), dict):
            presets += [(option, f"{group}={name}") for group, name in body["preset"].items()]
        for key in (key for key, value in body.items() if value is None or isinstance(value, int | float)):
            owners.setdefault(key, []).append(option)
    for name, options in owners.items():
        of_presets = [preset for preset, part in presets if part in options]
        owners[name] = list(dict.fromkeys([*options, *of_presets]))
    return owners


def part_options(group: str) -> list[str]:
    """Dotted names of the options that the yaml files of conf/<group>/ have."""
    bodies = [read_yaml(path) for path in sorted((conf_dir() / group).glob("*.yaml"))]
    bodies.append({group: read_yaml(conf_dir() / "config.yaml").get(group, {})})
    keys = {key for body in bodies for key, _ in flatten(body.get(group, body)) if "_target_" not in key}
    return sorted(f"{group}.{key}" for key in keys if key.split(".")[-1] not in ("_partial_", "defaults"))


def part_owners(key: str) -> list[str]:
    """The options (``backbone=convnet``) whose yaml has a dotted name such as ``backbone.dim``."""
    group = key.partition(".")[0]
    bodies = {path.stem: read_yaml(path) for path in sorted((conf_dir() / group).glob("*.yaml"))}
    own = key.removeprefix(f"{group}.")
    return [f"{group}={name}" for name, body in bodies.items() if own in dict(flatten(body.get(group, body)))]
