"""All tests of one log that its kind allows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from common.run_folder import RunFolder
from common.scores.logs import ScoreLog
from common.traces import read_header
from rl.traces.verification import verify
from submission.audit.arithmetic import STEP, arithmetic, shown_against_means
from submission.audit.evidence import Audit, Evidence
from submission.audit.rewards import full_precision, odd_digits, repeated, shared
from submission.audit.shape import jumps, outliers

ROLLED = 1e-6  # chance that an untouched log's scores differ from its own traces


def audit_log(log: ScoreLog, step: int = STEP, others: Sequence[ScoreLog] = ()) -> Audit:
    """The tests of a log alone, and those beside other logs.

    :param step: points of which every score is a multiple, for marking logs
    :param others: logs of other authors
    """
    audit = Audit(log.name)
    if log.windows:
        audit.add("lines", arithmetic(log, step))
        if not log.every_score_known:
            audit.add("shown scores", shown_against_means(log))
        audit.add("jumps", jumps(log))
        audit.add("outliers", outliers(log))
    elif full_precision(log.scores):
        audit.add("repeats", repeated(log))
        audit.add("digits", odd_digits(log.path))
        if others:
            audit.add("shared", shared(log, [other for other in others if other.path != log.path]))
    return audit


def replayed(run: Path, sample: int | None) -> list[Evidence]:
    """Evidence from the games of a run's traces, played again in the emulator.

    :param run: the run folder
    :param sample: number of games; None for all
    :raises UserError: when the traces are damaged, or not of an Atari game: others would have to be made by their name
    """
    path = RunFolder(run).traces
    if read_header(path).game is None:
        return [Evidence("replay", "the traces are not of an Atari game and are not played", 1.0)]
    found = verify(run, sample)
    if not found.differences:
        compared = ", ".join(f"{name} ({count})" for name, count in found.compared.items())
        return [Evidence("replay", f"{found.episodes} of {found.total} games give the scores in {compared}", 1.0)]
    words = f"{len(found.differences)} differences in {found.episodes} games, the first: {found.differences[0]}"
    episodes = tuple(one.episode for one in found.differences[:50])
    return [Evidence("replay", words, ROLLED, "another version of the emulator", episodes)]
