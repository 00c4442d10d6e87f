"""Verification of a run's scores: its traced episodes are replayed and compared with the run's files.

It needs the run folder and the same version of ale-py, not the agent.

Credits: Stable-Baselines3's Monitor (file format).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from common.errors import UserError
from common.processors import cores
from common.run_folder import RunFolder
from common.traces import TracedEpisode, TraceHeader, read_episodes, read_header
from rl.traces.playback import Player, ReplayResult, make_player, play, same_score

# A process takes about a second to start and plays about five games a second.
GAMES_PER_PROCESS = 25

_INTERACTION = re.compile(r"Episode: (\d+), interaction_steps: \d+, reward: (-?[\d.]+(?:e[+-]?\d+)?), epsilon: ")
_MARKING = re.compile(r"marking, episode: (\d+), score: (-?\d+\.\d)")
_AGENT = re.compile(r"episode: (\d+), reward: (\S+)$")


@dataclass(frozen=True)
class LoggedEpisode:
    """An episode in a file of the run.

    :param source: the file's name
    :param score: points
    :param length: agent steps, or None where the file does not have it
    :param decimals: decimals of the scores in the file
    """

    source: str
    episode: int
    score: float
    length: int | None = None
    decimals: int = 6


@dataclass(frozen=True)
class Difference:
    """An episode whose replay differs from a file of the run.

    :param untraced: whether it is in a log alone, and so cannot be played again
    """

    episode: int
    message: str
    untraced: bool = False

    def __str__(self) -> str:
        return f"episode {self.episode}: {self.message}"


@dataclass
class Verification:
    """The result of a verification.

    :param episodes: number of episodes played again
    :param total: number of episodes in the trace file
    :param compared: number of scores compared, by file
    """

    episodes: int
    total: int
    compared: dict[str, int] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)


def verify(run_folder: Path, sample: int | None = None, seed: int = 742, processes: int | None = None) -> Verification:
    """Replay all traced episodes of a run, or a random sample of them, and compare scores and lengths.

    They are compared with the trace file, ``monitor.csv``, the marking lines of ``gravitar-log.txt`` and the lines of
    ``agent-log.txt`` and ``pong-log.txt``, as far as they exist. Without ``sample``, an episode that is only in a log
    is a difference as well.

    :param sample: number of episodes, all if None
    :param seed: seed of the random sample
    :param processes: number of processes; default: one per core, fewer for few episodes
    :raises UserError: when a file is missing, truncated or damaged, or ``sample`` is not positive
    """
    if sample is not None and sample < 1:
        raise UserError(f"--sample {sample}: give a number of episodes, at least 1, or leave it out for all")
    # The logs are read before the traces, since a run that is still training may add episodes in between.
    folder = RunFolder(run_folder)
    logged = [
        *_read_monitor(folder.monitor),
        *_read_marking_log(folder.marking_log),
        *_read_agent_log(folder.agent_log),
        *_read_interaction_log(folder.interaction_log),
    ]
    path = RunFolder(run_folder).traces
    header = read_header(path)
    traced = list(read_episodes(path))
    if not traced:
        raise UserError(f"{path} has no episodes: none has finished yet")
    chosen = traced
    if sample is not None and sample < len(traced):
        picks = np.random.default_rng(seed).choice(len(traced), sample, replace=False)
        chosen = [traced[pick] for pick in sorted(picks.tolist())]

    found = Verification(len(chosen), len(traced))
    results: dict[int, ReplayResult] = {}
    for episode, outcome in zip(chosen, _play_all(header, chosen, processes), strict=True):
        if isinstance(outcome, str):
            found.differences.append(Difference(episode.episode, outcome))
            continue
        results[episode.episode] = outcome
        entry = LoggedEpisode(path.name, episode.episode, episode.score, episode.length)
        _compare(entry, outcome, found)
        if not (outcome.terminated or outcome.truncated):
            message = "the game is not over after its last traced action"
            found.differences.append(Difference(episode.episode, message))
    for entry in logged:
        if entry.episode in results:
            _compare(entry, results[entry.episode], found)
    if sample is None:
        known = {episode.episode for episode in traced}
        for entry in logged:
            if entry.episode not in known:
                message = f"{entry.source} says {entry.score:g} points, the trace file has no such episode"
                found.differences.append(Difference(entry.episode, message, untraced=True))
    found.differences.sort(key=lambda difference: difference.episode)
    return found


def _compare(entry: LoggedEpisode, result: ReplayResult, found: Verification) -> None:
    found.compared[entry.source] = found.compared.get(entry.source, 0) + 1
    if not same_score(entry.score, round(result.score, entry.decimals)):
        message = f"{entry.source} says {entry.score:g} points, the emulator gives {result.score:g}"
        found.differences.append(Difference(entry.episode, message))
    if entry.length is not None and entry.length != result.length:
        message = f"{entry.source} says {entry.length} steps, the replay has {result.length}"
        found.differences.append(Difference(entry.episode, message))


def _play_all(
    header: TraceHeader, episodes: list[TracedEpisode], processes: int | None
) -> Iterator[ReplayResult | str]:
    """The results in the order of the episodes; the error message for an episode that cannot be replayed."""
    processes = processes or max(1, min(cores(), len(episodes) // GAMES_PER_PROCESS))
    console = Console(stderr=True)
    show = partial(
        track, description="replaying", total=len(episodes), console=console, disable=not console.is_terminal
    )
    if processes == 1:
        player = make_player(header)
        yield from show(_outcome(player, episode) for episode in episodes)
        return
    # Not forked: torch's threads may hold locks, which would stay locked in a forked child.
    pool = ProcessPoolExecutor(processes, get_context("spawn"), _init_process, (header,))
    try:
        yield from show(pool.map(_play_in_process, episodes, chunksize=4))
    finally:
        pool.shutdown(cancel_futures=True)


_player: Player | None = None  # of a worker process


def _init_process(header: TraceHeader) -> None:
    global _player
    _player = make_player(header)


def _play_in_process(episode: TracedEpisode) -> ReplayResult | str:
    assert _player is not None
    return _outcome(_player, episode)


def _outcome(player: Player, episode: TracedEpisode) -> ReplayResult | str:
    try:
        return play(player, episode)
    except UserError as error:
        return str(error).split(": ", 1)[-1]


def _read_monitor(path: Path) -> Iterator[LoggedEpisode]:
    """Row k of a monitor file is episode k."""
    if not path.exists():
        return
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        file.readline()  # the JSON line
        for episode, row in enumerate(csv.DictReader(file)):
            try:
                yield LoggedEpisode(path.name, episode, float(row["r"]), int(row["l"]))
            except (KeyError, TypeError, ValueError) as error:
                message = f"{path}, line {episode + 3}: not a row of r, l, t; restore it from a copy"
                raise UserError(message) from error


def _read_marking_log(path: Path) -> Iterator[LoggedEpisode]:
    if not path.exists():
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            if match := _MARKING.match(line):
                yield LoggedEpisode(path.name, int(match[1]), float(match[2]), decimals=1)


def _read_agent_log(path: Path) -> Iterator[LoggedEpisode]:
    """The agent log counts episodes from 1, the others from 0."""
    if not path.exists():
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            if match := _AGENT.match(line):
                try:
                    yield LoggedEpisode(path.name, int(match[1]) - 1, float(match[2]))
                except ValueError as error:
                    raise UserError(f"{path}, line {number}: no reward; restore it from a copy") from error


def _read_interaction_log(path: Path) -> Iterator[LoggedEpisode]:
    """The lines of episodes, which are numbered from 1 there."""
    if not path.exists():
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            if match := _INTERACTION.match(line):
                yield LoggedEpisode(path.name, int(match[1]) - 1, float(match[2]))
