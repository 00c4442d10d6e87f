"""``python -m tune export``: writes the winner of a confirmed study to ``rl_zoo_configs/*.yml``, with the evidence.

Credits: the format is rl-baselines3-zoo's (Raffin 2020).
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common.errors import UserError
from common.files import write_atomic
from common.records import plain
from rl.settings import CONFIG_FOLDER, assignments
from rl.zoo.config import ALGORITHMS, load_config, parse_block, select_block
from tune.confirmation import Compared, Confirmation
from tune.options import ExportSettings
from tune.settings import GravitarStudy, read_settings
from tune.yaml_edit import set_values

EVIDENCE = "evidence"  # folder beside the configurations


def export(user: ExportSettings) -> None:
    """Change the configuration.

    :raises UserError: without a confirmation, and when no candidate won (status 1) unless forced
    """
    settings = read_settings(user.study)
    if not isinstance(settings, GravitarStudy):
        raise UserError(f"{user.study} is a study of {settings.task}, which has no configuration; see its report")
    result = Confirmation.load(user.study)
    winner = choose(result, user.force)
    path = user.config or (Path(settings.config) if settings.config else CONFIG_FOLDER / f"{settings.algo}.yml")
    key, block = select_block(load_config(path), settings.env, "ram" if settings.obs == "ram" else "pixels", path)
    # The winner was trained with the study's own replacements as well.
    replaced = assignments(settings.set) | ({} if settings.n_envs is None else {"n_envs": settings.n_envs})
    changes = changed(block, {**replaced, **winner.values}, settings.algo)
    if not changes:
        print(f"{path}, block '{key}', has these values already")
        return
    where = f"{path}, block '{key}'"
    text = set_values(path.read_text(encoding="utf-8"), key, changes, where)
    parse_block({**block, **changes}, settings.algo, where)
    evidence = path.parent / EVIDENCE / f"{path.stem}-{key.replace('/', '-')}"
    content = {"config": path.name, "block": key, "before": {name: block.get(name) for name in changes},
               "after": changes, "forced": not winner.wins, "confirmation": plain(result)}  # fmt: skip
    write_atomic(evidence.with_name(f"{evidence.name}.json"), json.dumps(content, indent=1) + "\n")
    write_atomic(evidence.with_name(f"{evidence.name}.md"), markdown(result, winner, block, changes))
    write_atomic(path, text)
    for name, value in changes.items():
        print(f"{name}: {block.get(name, 'not there')} -> {value}")
    if settings.protocol:
        print(f"warning: the study was made with --protocol {settings.protocol}, which the file does not say")
    print(f"{where}, has the values of {winner.name}; the evidence is in {evidence.parent}")


def choose(result: Confirmation, force: bool) -> Compared:
    """The winner with the largest difference; with ``force`` the best candidate if there is no winner.

    :raises UserError: when there is no winner, unless forced (status 1)
    """
    winners = [one for one in result.compared[1:] if one.wins]
    if winners:
        return max(winners, key=lambda one: one.difference)
    if not force:
        raise UserError(f"{result.verdict()} Nothing was written; --force writes it all the same", status=1)
    return result.best


def changed(block: Mapping[str, Any], values: Mapping[str, Any], algo: str) -> dict[str, Any]:
    """The values that differ from the block's or, where it has none, from the algorithm's defaults."""
    parameters = inspect.signature(ALGORITHMS[algo].__init__).parameters
    usual = {name: parameter.default for name, parameter in parameters.items()}
    return {name: value for name, value in values.items() if not _same(value, block.get(name, usual.get(name)))}


def _same(one: Any, other: Any) -> bool:
    """Whether two values are equal; ``lin_0.0003`` equals ``lin_3e-4``."""
    if isinstance(one, str) and isinstance(other, str) and "_" in one and "_" in other:
        (kind, _, number), (other_kind, _, other_number) = one.partition("_"), other.partition("_")
        try:
            return kind == other_kind and float(number) == float(other_number)
        except ValueError:
            return one == other
    return bool(one == other)


def markdown(result: Confirmation, winner: Compared, before: Mapping[str, Any], changes: Mapping[str, Any]) -> str:
    """The evidence as Markdown."""
    rows = [f"| {name} | {before.get(name, '')} | {value} |" for name, value in changes.items()]
    forced = "" if winner.wins else "\nWritten by force.\n"
    table = "\n".join(["| value | before | now |", "| --- | --- | --- |", *rows])
    return f"{result.markdown()}{forced}\n## What changed: the values of {winner.name}\n\n{table}\n"
