"""The command ``audit``: which logs deserve a second look, and why. It is a likelihood with reasons, never a verdict.

python -m submission audit submissions/*/gravitar-log.txt
python -m submission audit agent-log.txt --others submissions/
python -m submission audit runs/gravitar/first --replay 20
python -m submission audit gravitar-log.txt --replicates 19 --code runs/gravitar/first --launcher slurm
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from common.errors import UserError
from common.files import write_atomic
from common.launch import launch
from common.run_folder import RunFolder
from common.scores.log_text import printable
from common.scores.logs import ScoreLog, parse_log, read_log
from rl.settings import RunSettings
from rl.tasks import TASKS
from submission.audit.audited import audit_log, replayed
from submission.audit.convergence import Comparison, compare
from submission.audit.evidence import Audit, Evidence
from submission.audit.figure import save_audit_figure
from submission.options import AuditSettings

TRAINER = "submission.train_agent"
LOG_SUFFIXES = (".txt", ".log")
MOST_BYTES, MOST_RECORDS = 64_000_000, 200_000
ROOT = Path(__file__).resolve().parents[2]


def audit(settings: AuditSettings) -> None:
    """Print the evidence about each log, and write figures and ``audit.json``.

    A log that cannot be read is named, and the others are audited all the same.

    :raises UserError: when no log can be read, for bad arguments, or when replicates cannot be trained
    """
    if not settings.logs:
        raise UserError("name logs or run folders to audit")
    if (settings.replicates is None) != (settings.code is None):
        raise UserError("--replicates K and --code RUN go together: so many trainings of that run's settings")
    logs: dict[Path, ScoreLog] = {}
    for path in settings.logs:
        try:
            logs[path] = read_untrusted(path)
        except UserError as error:
            print(f"not audited: {error}")
    if not logs:
        raise UserError("none of the logs could be read")
    others = other_logs(settings.others) if settings.others else []
    trained = replicates(settings, max(int(log.games) for log in logs.values())) if settings.replicates else []
    results = []
    for number, (path, log) in enumerate(logs.items()):
        beside = [*others, *(other for where, other in logs.items() if where != path)]
        result = audit_log(log, settings.step, beside)
        if settings.replay is not None and RunFolder(path).traces.exists():
            result.add("replay", replayed(path, settings.replay or None))
        comparison = _compared(log, trained, others, result)
        figure = settings.output / f"{number:03d}-{safe_name(log.name)}.png"
        save_audit_figure(log, result, comparison, figure)
        _print(result, path, figure)
        results.append({"path": str(path), "figure": figure.name, **result.as_json()})
    write_atomic(settings.output / "audit.json", json.dumps(results, indent=1) + "\n")
    named = sum(bool(result["second look"]) for result in results)
    print(f"{named} of {len(results)} logs deserve a second look; see {settings.output / 'audit.json'}")


def read_untrusted(path: Path) -> ScoreLog:
    """A log by somebody else, up to a bound of its size, or the log of a run folder.

    :raises UserError: when it cannot be read
    """
    if path.is_dir():
        return read_log(RunFolder(path).marking_log if RunFolder(path).marking_log.exists() else path)
    if not path.is_file():
        raise UserError(f"{path} is not a log; give logs or run folders")
    with path.open("rb") as stream:
        return parse_log(stream, path, MOST_BYTES, MOST_RECORDS)


def other_logs(folder: Path) -> list[ScoreLog]:
    """The logs in a folder and the folders in it; files that are none are passed over.

    :raises UserError: when the folder does not exist
    """
    if not folder.is_dir():
        raise UserError(f"--others {folder} is not a folder of logs")
    found = []
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in LOG_SUFFIXES and path.is_file() and not path.is_symlink():
            try:
                found.append(read_untrusted(path))
            except UserError:
                continue
    return found


def replicates(settings: AuditSettings, episodes: int) -> list[ScoreLog]:
    """The logs of K trainings with the settings of a run and other seeds; those that are not there yet are trained.

    :param episodes: games that each is to have
    :raises UserError: when one fails, or SLURM has only just begun with them
    """
    assert settings.code is not None and settings.replicates is not None
    run = RunFolder(settings.code)
    trained = RunSettings.from_yaml(run.settings)
    seed, task = trained.seed, trained.task
    runs = (settings.output / "replicates").resolve()
    names = {f"seed-{number}": number for number in range(seed + 1, seed + 1 + settings.replicates)}
    missing = [name for name in names if not (runs / task / name / "learning-curve.png").exists()]
    if missing:
        same = ["again", "--settings", str(run.settings.resolve()), "--runs", str(runs), "--episodes", str(episodes)]
        start = [sys.executable, "-m", TRAINER, *same]
        commands = {name: [*start, "--seed", str(names[name]), "--name", name] for name in missing}
        launch("replicates", commands, runs / "jobs", settings.launch)
        if settings.launch.launcher == "slurm":
            message = f"{len(missing)} trainings were submitted; give the same command when they have ended"
            raise UserError(message, status=1)
    return [read_log(runs / task / name / TASKS[task].log_name) for name in names]


def _compared(
    log: ScoreLog, trained: Sequence[ScoreLog], others: Sequence[ScoreLog], result: Audit
) -> Comparison | None:
    """The learning curve beside replicates, or else beside other authors' of the same kind.

    Others' settings differ, and a good agent stands out among them as well, so that comparison is a mere note.
    """
    beside = trained or [other for other in others if other.kind == log.kind and other.path != log.path]
    if not beside:
        return None
    try:
        comparison = compare(log, beside)
    except UserError as error:
        result.add("convergence", [Evidence("convergence", f"not compared: {error}")])
        return None
    found = comparison.evidence()
    if not trained:
        found = dataclasses.replace(found, chance=1.0, otherwise="settings that learn better or worse than the others'")
    result.add("convergence", [found])
    return comparison


def _print(result: Audit, path: Path, figure: Path) -> None:
    print(f"{printable(str(path), 200)}: {result.likelihood} ({', '.join(result.tests) or 'no test applies'})")
    for one in sorted(result.evidence, key=lambda one: one.chance):
        chance = "" if one.chance == 1 else f" [chance {one.chance:.1g}]"
        otherwise = f"; or: {one.otherwise}" if one.otherwise else ""
        print(f"  {one.test}: {printable(one.words, 400)}{chance}{otherwise}")
    print(f"  figure: {figure}")


def safe_name(name: str) -> str:
    """A name for a file, from one that nobody trusts."""
    return "".join(sign if sign.isascii() and (sign.isalnum() or sign in "._-") else "_" for sign in name)[:60] or "log"
