"""Reading of a run's scores from a run folder, Stable-Baselines3's monitor.csv, or another log.

The 2020 edition's marking log, the 2021 edition's agent log, files in the format of Stable-Baselines3's Monitor, and
logs with an episode and its score in another format can be read. Real logs have other lines in between, restarts,
gaps, Windows line ends and a truncated last line: these are not errors, but warnings in ``ScoreLog.warnings``.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import yaml
from numpy.typing import NDArray

from common.errors import UserError, nearest
from common.records import parse_yaml
from common.scores.log_lines import MarkingLine
from common.scores.log_order import Event, MarkingWindow, known_scores, marking_windows, one_history
from common.scores.log_records import LogRecords, Record, Skipped
from common.scores.log_text import NO_LINE_END, WINDOWS_LINE_ENDS, Tally, TextLines
from common.scores.monitor_files import HEAD, is_monitor, parse_monitors

LogKind = Literal["monitor", "marking-2020", "agent-2021"]
LOG_NAMES = ("gravitar-log.txt", "agent-log.txt")
MONITOR_NAME = "monitor.csv"
_SHOWN = 80  # characters of a name
EXPECTED = "give a run folder, a marking log or a monitor.csv"


@dataclass(frozen=True, eq=False)
class ScoreLog:
    """The scores of one run.

    :param path: the file that was read
    :param name: short name for tables and legends
    :param kind: the kind of file
    :param episodes: shape (n,), n at least 1, int64, strictly ascending: the numbers of the episodes with known scores
    :param scores: shape (n,), float64, their raw scores in points, all finite
    :param windows: marking lines in ascending order of episode, empty for other kinds
    :param warnings: irregularities, one sentence each
    :param seed: the run's seed, if it is in a settings.yml beside the file
    :param environment: the environment's id, if it is in the file or in a settings.yml beside it
    :param lengths: shape (n,), int64, the lengths of these episodes in agent steps; None if the file does not say them
    """

    path: Path
    name: str
    kind: LogKind
    episodes: NDArray[np.int64]
    scores: NDArray[np.float64]
    windows: tuple[MarkingWindow, ...] = ()
    warnings: tuple[str, ...] = ()
    seed: int | None = None
    environment: str | None = None
    lengths: NDArray[np.int64] | None = None

    @property
    def games(self) -> int:
        """The number of games from the first to the last one in the log, known or not."""
        return int(self.episodes[-1] - self.episodes[0]) + 1

    @property
    def stride(self) -> int:
        """The usual distance between episodes with known scores; 1 if every score is known."""
        return usual_distance(self.episodes)

    @property
    def every_score_known(self) -> bool:
        """Whether at most a tenth of the scores is missing."""
        return self.episodes.size >= 0.9 * self.games


def read_log(path: Path) -> ScoreLog:
    """Read a run folder or a log file.

    In a folder ``monitor.csv`` is preferred, since it has every score, then the marking or agent log.

    :raises UserError: when there is no log, or it is binary, empty or without a score (status 2)
    """
    path = Path(path)
    try:
        found = path.lstat()
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR):
            raise UserError(f"cannot read {str(path)[:_SHOWN]}: {error.strerror}; {EXPECTED}") from error
    else:
        if stat.S_ISLNK(found.st_mode) and not path.exists():
            raise UserError(f"{path} is a link to {os.readlink(path)}, which does not exist; {EXPECTED}")
    if path.is_dir():
        return _read_folder(path)
    if not path.exists():
        siblings = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
        raise UserError(f"{path} does not exist{nearest(path.name, siblings)}; {EXPECTED}")
    if not path.is_file():
        raise UserError(f"{path} is not a regular file; {EXPECTED}")
    try:
        with path.open("rb") as stream:
            monitor = is_monitor(stream.read(HEAD))
            stream.seek(0)
            log = _from_monitors([path]) if monitor else parse_log(stream, path)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    if path.name in LOG_NAMES or path.name == MONITOR_NAME:
        log = _with_settings(replace(log, name=path.resolve().parent.name))
    return log


def usual_distance(numbers: NDArray[np.int64]) -> int:
    """The median distance between ascending episode numbers, at least 1; 1 for fewer than two numbers."""
    return max(1, int(np.median(np.diff(numbers)))) if numbers.size > 1 else 1


def _read_folder(folder: Path) -> ScoreLog:
    # SB3's make_vec_env writes one file for each environment: 0.monitor.csv, 1.monitor.csv, ...
    monitors = sorted(folder.glob(f"*.{MONITOR_NAME}"))
    candidates = [[folder / name] for name in (MONITOR_NAME, *LOG_NAMES)]
    if monitors:
        candidates.insert(1, monitors)
    problems: list[UserError] = []
    for paths in candidates:
        if not all(path.is_file() for path in paths):
            continue
        try:
            log = read_log(paths[0]) if len(paths) == 1 else _from_monitors(paths)
        except UserError as error:
            problems.append(error)
            continue
        unused = tuple(f"not used: {problem}" for problem in problems)
        return _with_settings(replace(log, name=folder.resolve().name, warnings=(*unused, *log.warnings)))
    if problems:
        raise problems[0]
    raise UserError(f"{folder} holds no {MONITOR_NAME} and no {' or '.join(LOG_NAMES)}; {EXPECTED}")


def _from_monitors(paths: list[Path]) -> ScoreLog:
    with contextlib.ExitStack() as files:
        texts = [TextLines(files.enter_context(path.open("rb")), path) for path in paths]
        monitor = parse_monitors(texts)
    if not monitor.scores.size:
        raise UserError(f"{paths[0]} holds no finished episode; train for longer or give another log")
    # Python's csv module writes Windows line ends.
    odd = [(path, each) for path, text in zip(paths, texts, strict=True) for each in text.warnings]
    named = [each if len(paths) == 1 else f"{path.name}: {each}" for path, each in odd if each != WINDOWS_LINE_ENDS]
    return ScoreLog(
        path=paths[0],
        name=paths[0].stem,
        kind="monitor",
        episodes=np.arange(monitor.scores.size, dtype=np.int64),
        scores=monitor.scores,
        warnings=(*named, *monitor.warnings),
        environment=monitor.environment,
        lengths=monitor.lengths,
    )


def parse_log(stream: BinaryIO, path: Path, most_bytes: int | None = None, most_records: int | None = None) -> ScoreLog:
    """The scores of a marking log, an agent log or a log in another spelling, read once from a stream.

    :param path: the file, for messages
    :param most_bytes: where to stop reading; None for the whole file
    :param most_records: number of scores after which to stop; None for all
    :raises UserError: when the file cannot be read, is binary, empty or without a score (status 2)
    """
    other = Tally("other lines in between")
    spelling = Tally("episode lines in another spelling")
    marking = Tally("marking lines not in the exact format")
    prefixed = Tally("marking lines with text before the word marking")
    unreadable = Tally("score lines that could not be read")
    not_finite = Tally("lines with a score that is not a finite number")
    skipped = {
        "no score": other,
        "unreadable score": unreadable,
        "unreadable marking line": marking,
        "score not finite": not_finite,
    }
    events: list[Event] = []
    rewards = 0
    records = LogRecords(stream, path, most_bytes, most_records)
    whole = False  # whether the last line is
    for record in records:
        line = record.line
        whole = isinstance(record, Record)
        if isinstance(record, Skipped):
            if record.reason in skipped:
                skipped[record.reason].add(line.number, line.text)
            continue
        content = record.content
        events.append(Event(line.number, content))
        if not isinstance(content, MarkingLine):
            rewards += content.key.startswith("reward")
            if not content.exact:
                spelling.add(line.number, line.text)
        elif content.prefixed:
            prefixed.add(line.number, line.text)
        elif not content.exact:
            marking.add(line.number, line.text)
    if not events:
        raise UserError(
            f"{path} holds no score; expected lines such as 'marking, episode: 100, score: 0.0, "
            "mean_score: 198.50, std_score: 211.24' or 'episode: 1, reward: -95.2', or SB3's monitor.csv"
        )

    history, restarts, warnings = one_history(events)
    episodes, scores, differing = known_scores(history)
    markings = [event.content for event in history if isinstance(event.content, MarkingLine)]
    windows, odd_windows = marking_windows(markings, restarts, episodes, scores)
    single = np.array([event.episode for event in history if not event.is_marking], dtype=np.int64)
    warnings += differing + odd_windows + _gaps(single)
    for tally in (spelling, marking, prefixed, unreadable, not_finite, other):
        warnings += tally.warnings()
    kind: LogKind = "marking-2020" if markings or 2 * rewards < len(events) else "agent-2021"
    if kind == "marking-2020" and not markings:
        warnings.append("no line starts with marking")
    if not single.size:
        warnings.append("no scores of single episodes but those in the marking lines")
    return ScoreLog(
        path=path,
        name=path.stem,
        kind=kind,
        episodes=episodes,
        scores=scores,
        windows=windows,
        warnings=(*(each for each in records.warnings if not (whole and each == NO_LINE_END)), *warnings),
    )


def _gaps(numbers: NDArray[np.int64]) -> list[str]:
    """Warnings about missing episodes, relative to the usual distance between lines."""
    warnings: list[str] = []
    if not numbers.size:
        return warnings
    usual = usual_distance(numbers)
    if numbers[0] > usual:
        warnings.append(f"the log begins at episode {numbers[0]}")
    steps = np.diff(numbers)
    wide = np.flatnonzero(steps > usual)
    if wide.size:
        before, after = numbers[wide[0]], numbers[wide[0] + 1]
        warnings.append(
            f"gaps: {int((steps[wide] - usual).sum())} episodes are missing in {wide.size} places "
            f"(first between episode {before} and {after})"
        )
    return warnings


def _with_settings(log: ScoreLog) -> ScoreLog:
    """The log with seed and environment from the settings.yml in its folder, at the top level or one below."""
    try:
        settings = parse_yaml((log.path.parent / "settings.yml").read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return log
    if not isinstance(settings, dict):
        return log
    for level in (settings, *(part for part in settings.values() if isinstance(part, dict))):
        seed = level.get("seed")
        if log.seed is None and isinstance(seed, int) and not isinstance(seed, bool):
            log = replace(log, seed=seed)
        for key in ("env", "env_id", "environment", "game"):
            if log.environment is None and isinstance(level.get(key), str):
                log = replace(log, environment=level[key])
    return log
