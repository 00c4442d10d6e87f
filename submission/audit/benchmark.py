"""How much of altered logs the audit finds, and how often it wrongly names untouched ones: the table of docs/audit.md.

    python -m submission.audit.benchmark results/gravitar/ppo-ram LOG... --logs 100

Marking logs are stretches of the given Gravitar runs whose every score is known, written anew with every tenth score;
they begin anywhere, and the windows are computed from the scores. Agent logs are stretches of the given walker logs.
Stretches of one run are not independent of each other, so the interval of wrongly named ones is for these runs.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import stats
from tyro.conf import Positional

from common.cli import run_cli
from common.errors import UserError
from common.options import Command
from common.scores.logs import ScoreLog, parse_log, read_log
from submission.audit.audited import audit_log
from submission.audit.tampering import WAYS, Lines, marking_log

SHORTEST, LONGEST = 800, 3000  # episodes of a marking log
AGENT_LINE = "episode: {}, reward: {}"


@dataclass(frozen=True)
class BenchmarkSettings(Command):
    """Measure the audit on altered and on untouched logs, and print the table."""

    runs: Positional[tuple[Path, ...]]
    """Run folders and logs, genuine ones: Gravitar's with every score, and walkers'."""
    logs: int = 100
    """Logs of each kind for each way and strength."""
    seed: int = 0
    """Seed of the stretches and of what is altered."""
    folder: Path = Path("/tmp")
    """Where a log lies while it is read."""


@dataclass(frozen=True)
class Share:
    """So many of so many logs."""

    named: int
    logs: int

    def text(self, interval: bool = False) -> str:
        """As in ``97%``, or with the 95% interval of Clopper and Pearson."""
        if not self.logs:
            return "-"
        if not interval:
            return f"{self.named / self.logs:.0%}"
        found = stats.binomtest(self.named, self.logs).proportion_ci(0.95, "exact")
        return f"{self.named} of {self.logs} [{found.low:.1%}, {found.high:.1%}]"


def benchmark(settings: BenchmarkSettings) -> None:
    """Print the table.

    :raises UserError: for a log that cannot be read, or that is of neither kind
    """
    logs = [read_log(path) for path in settings.runs]
    marking = [log for log in logs if log.kind != "agent-2021" and log.every_score_known and log.games > SHORTEST]
    agent = [log for log in logs if log.kind == "agent-2021"]
    if not marking and not agent:
        raise UserError(f"give a Gravitar run of more than {SHORTEST} games with every score, or walker logs")
    print("| way | strength | marking logs | agent logs |\n| --- | --- | --- | --- |")
    untouched = [_named(settings, kind, None, 0).text(interval=True) for kind in (marking, agent)]
    print(f"| untouched, wrongly named | | {untouched[0]} | {untouched[1]} |")
    for way in WAYS:
        for strength in way.strengths:
            found = [
                _named(settings, kind, way.name, strength).text() if applies else "-"
                for kind, applies in ((marking, way.marking), (agent, way.agent))
            ]
            shown = f"{strength:.0%}" if way.unit.startswith("of") else f"{strength:g}"
            print(f"| {way.name} | {shown} {way.unit} | {found[0]} | {found[1]} |", flush=True)


def _named(settings: BenchmarkSettings, logs: Sequence[ScoreLog], way: str | None, strength: float) -> Share:
    """How many of the logs are named for a second look, altered in a way or untouched."""
    if not logs:
        return Share(0, 0)
    generator = np.random.default_rng([settings.seed, *(way or "").encode(), int(100 * strength)])
    count = settings.logs if way else 5 * settings.logs
    change = next((each.change for each in WAYS if each.name == way), None)
    named = 0
    for number in range(count):
        lines = stretch(logs[number % len(logs)], generator)
        if change is not None:
            lines = change(lines, strength, better(logs, generator), generator)
        named += audit_lines(lines, settings.folder)
    return Share(named, count)


def audit_lines(lines: Lines, folder: Path) -> bool:
    """Whether a log of these lines is named for a second look."""
    data = ("\n".join(lines) + "\n").encode()
    path = folder / "audited-log.txt"
    path.write_bytes(data)
    try:
        return audit_log(parse_log(io.BytesIO(data), path)).odd
    finally:
        path.unlink()


def stretch(log: ScoreLog, generator: np.random.Generator) -> Lines:
    """A stretch of a genuine run as a log of its own; a walker's begins at its beginning."""
    if log.kind == "agent-2021":
        end = int(generator.integers(400, log.scores.size + 1))
        return [AGENT_LINE.format(number, score) for number, score in enumerate(log.scores[:end].tolist(), 1)]
    length = int(generator.integers(SHORTEST, min(LONGEST, log.scores.size) + 1))
    start = int(generator.integers(0, log.scores.size - length + 1))
    return marking_log(log.scores[start : start + length], 10)


def better(logs: Sequence[ScoreLog], generator: np.random.Generator) -> Lines:
    """The end of the best run: its tail is what people would paste."""
    log = max(logs, key=lambda one: float(one.scores[-300:].mean()))
    if log.kind == "agent-2021":
        return [AGENT_LINE.format(number, score) for number, score in enumerate(log.scores.tolist(), 1)]
    return marking_log(log.scores[-LONGEST:], 10)


if __name__ == "__main__":
    sys.exit(run_cli({"benchmark": (BenchmarkSettings, benchmark)}, ["benchmark", *sys.argv[1:]], about=__doc__))
