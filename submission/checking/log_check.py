"""A log against the rules of its edition, and a video's name against a log.

Credits: the population's largest deviation from its mean, s sqrt(n - 1), is Samuelson's inequality (P. A. Samuelson
1968).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.scores.logs import ScoreLog, parse_log
from submission.checking.findings import Findings
from submission.edition import Edition, VideoName

MOST_BYTES = 64_000_000
MOST_RECORDS = 200_000
GOOD_WALKER = 290.0  # points over the last 100 episodes: "consistently around 300"
_FAULTY = (
    "not in the exact format", "text before the word marking", "could not be read", "not a finite number",
    "do not follow", "different scores", "another score", "not UTF-8", "UTF-16", "longer than what is read",
)  # fmt: skip


@dataclass(frozen=True)
class Bounds:
    """The scores that an episode can have had, by what a log says of it."""

    low: float
    high: float


def read_submitted_log(path: Path, name: str) -> ScoreLog:
    """A log that nobody trusts, up to a bound of its size.

    :param name: of the file in the submission, for messages
    :raises UserError: when it is binary, empty or without a score
    """
    with path.open("rb") as stream:
        return parse_log(stream, Path(name), MOST_BYTES, MOST_RECORDS)


def check_log(log: ScoreLog, edition: Edition, findings: Findings) -> None:
    """The log's format and length."""
    where = log.path.name
    for warning in log.warnings:
        changed = edition.year == 2021 and "another spelling" in warning
        if changed or any(part in warning for part in _FAULTY):
            findings.warning(where, warning)
        else:
            findings.note(where, warning)
    if edition.score_step is not None:
        _check_marking(log, edition, findings)
    elif log.kind == "marking-2020":
        findings.fault(where, "has not the lines 'episode: N, reward: R' of the starter code")
    if log.episodes.size < edition.least_episodes:
        last = float(log.scores[-100:].mean())
        text = f"has {log.episodes.size} episodes, fewer than {edition.least_episodes}"
        if last >= GOOD_WALKER:
            findings.note(where, f"{text}; its last ones are around 300 points ({last:.0f}), which is allowed")
        else:
            findings.fault(where, text)
    if not log.scores.any():
        findings.warning(where, "every score in it is 0")


def _check_marking(log: ScoreLog, edition: Edition, findings: Findings) -> None:
    where = log.path.name
    if not log.windows:
        findings.fault(where, "has no line that starts with 'marking'")
        return
    odd = [window.episode for window in log.windows if window.episode % 100]
    if odd:
        findings.warning(where, f"{len(odd)} marking lines are not of every 100th episode (first: {odd[0]})")
    assert edition.score_step is not None
    broken = log.scores[log.scores % edition.score_step != 0]
    if broken.size:
        findings.warning(where, f"{broken.size} scores are no multiples of {edition.score_step} (first: {broken[0]:g})")


def check_video_name(name: str, said: VideoName, log: ScoreLog, edition: Edition, findings: Findings) -> None:
    """Episode and score in a video's name against the log."""
    if said.episode is None or said.score is None:
        missing = " and ".join(part for part in ("episode", "score") if getattr(said, part) is None)
        findings.warning(name, f"does not say its {missing}")
        return
    tolerance = 1.0  # rewards are rounded or floored in names
    near = {step: _score_at(log, said.episode + step) for step in (0, 1, -1)}
    agreeing = [step for step, score in near.items() if score is not None and abs(score - said.score) < tolerance]
    if agreeing:
        if agreeing[0]:
            findings.note(
                name, f"its score is that of episode {said.episode + agreeing[0]} in the log, next to the one it says"
            )
        return
    bounds = possible_scores(log, said.episode)
    if near[0] is not None:
        findings.warning(name, f"says {said.score:g} points; the log has {near[0]:g} for episode {said.episode}")
    elif said.episode > int(log.episodes[-1]) + log.stride:
        findings.warning(name, f"is of episode {said.episode}; the log ends at {log.episodes[-1]}")
    elif bounds is not None and not bounds.low - tolerance < said.score < bounds.high + tolerance:
        between = f"between {max(0.0, bounds.low):.0f} and {bounds.high:.0f}"
        findings.warning(name, f"says {said.score:g} points; by the log's means it can only have been {between}")
    else:
        findings.note(name, f"the log does not show episode {said.episode}; its score cannot be compared")


def check_best(name: str, said: VideoName, log: ScoreLog, findings: Findings) -> None:
    """A note where the log has a better episode than the video."""
    best = int(np.argmax(log.scores))
    if said.score is not None and log.scores[best] >= said.score + 1:
        findings.note(name, f"the log has a better episode: {log.episodes[best]} with {log.scores[best]:g} points")


def possible_scores(log: ScoreLog, episode: int) -> Bounds | None:
    """What an episode's score can have been, by mean and deviation of the marking line that covers it."""
    for window in log.windows:
        if window.episode - window.size < episode <= window.episode:
            if not math.isfinite(window.std):
                return None
            most = (window.std + 0.005) * math.sqrt(window.size - 1) + 0.005
            return Bounds(window.mean - most, window.mean + most)
    return None


def _score_at(log: ScoreLog, episode: int) -> float | None:
    index = int(np.searchsorted(log.episodes, episode))
    found = index < log.episodes.size and log.episodes[index] == episode
    return float(log.scores[index]) if found else None
