"""What each edition of the coursework demands, as data: files and their names, rules of the log, the bonus table.

Credits: the assignments of 2020 (Pegasus and Gravitar) and 2021 (generative models and BipedalWalker).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from common.errors import UserError

Part = Literal["images", "agent"]
Kind = Literal["paper", "code", "video", "extra video", "log"]

_NUMBER = r"-?\d+(?:\.\d+)?"
AGENT_LINE = "episode: {}, reward: {}"  # 2021, one for every episode; the reward as Python prints it
MARKING_PRINT = "marking, episode: {}, score: {:.1f}, mean_score: {:.2f}, std_score: {:.2f}"


@dataclass(frozen=True)
class FileRule:
    """A file of a submission.

    :param part: the half of the coursework that it belongs to
    :param name: as the assignment writes it, with N and S for episode and score
    :param pattern: regular expression of the whole name
    :param suffixes: lower case, with the dot
    :param words: that names in other spellings have
    """

    part: Part
    kind: Kind
    name: str
    pattern: str
    suffixes: tuple[str, ...]
    words: tuple[str, ...]
    required: bool = True

    def fits(self, name: str) -> bool:
        """Whether a file's name is exactly one of the rule's."""
        return re.fullmatch(self.pattern, name) is not None


@dataclass(frozen=True)
class BonusRow:
    """A row of the bonus table.

    :param key: short name, the same in both editions
    :param marks: what it adds; for ``pages``, each page over the limit
    """

    key: str
    text: str
    marks: int


@dataclass(frozen=True)
class Edition:
    """The rules of one year.

    :param video: format of the video's name, with ``episode`` and ``score``
    :param score_step: points of which every score is a multiple; None where scores are real numbers
    :param first_episode: number of the log's first episode
    :param least_episodes: that a log must have
    :param most_steps: of an episode
    :param datasets: names of the image sets that may be trained on, the first of low resolution
    :param more_code: whether further source files are allowed
    :param interpolations: whether the paper shows samples that are not selected, and interpolations between them
    """

    year: int
    files: tuple[FileRule, ...]
    bonus: tuple[BonusRow, ...]
    video: str
    extra_video: str
    score_step: int | None
    first_episode: int
    datasets: tuple[str, ...]
    least_episodes: int = 1
    most_steps: int | None = None
    more_code: bool = True
    interpolations: bool = False
    most_pages: int = 4

    def rule(self, part: Part, kind: Kind) -> FileRule:
        """The rule of a file.

        :raises KeyError: where the edition has no such file
        """
        for rule in self.files:
            if (rule.part, rule.kind) == (part, kind):
                return rule
        raise KeyError((part, kind))

    def video_name(self, episode: int, score: float, extra: bool = False) -> str:
        """The name of a video; scores are rounded to whole points, as in the assignments' examples."""
        return (self.extra_video if extra else self.video).format(episode=episode, score=round(score))


@dataclass(frozen=True)
class VideoName:
    """Episode and score in a video's name; None where it does not say."""

    episode: int | None = field(default=None)
    score: float | None = field(default=None)


def _code(part: Part, stem: str, words: tuple[str, ...]) -> FileRule:
    return FileRule(part, "code", f"{stem}.ipynb or .py", rf"{stem}\.(?:ipynb|py)", (".ipynb", ".py"), words)


def _video(kind: Kind, name: str, words: tuple[str, ...]) -> FileRule:
    pattern = re.escape(name).replace("N", r"\d+").replace("S", _NUMBER)
    return FileRule("agent", kind, name, pattern, (".mp4",), words, required=kind == "video")


_IMAGES = ("pegasus", "part1", "model", "dl", "gan", "generative", "image")
_AGENT = ("gravitar", "part2", "agent", "rl", "walker", "reinforcement")
_LOG_SUFFIXES = (".txt", ".log")

_SHARED_ROWS = (
    BonusRow("adversarial", "Use any adversarial training (e.g. GAN) method", -4),
    BonusRow("cifar only", "Train only on CIFAR-10", -2),
    BonusRow("edited", "Manually edit (paint) any images or outputs", -50),
    BonusRow("uncited", "Use or modify someone's code without referencing it", -50),
    BonusRow("pre-trained", "Use pre-trained weights from another model", -50),
    BonusRow("pages", "Every page over 4 pages in the paper (excluding references)", -5),
)

EDITIONS = {
    2020: Edition(
        year=2020,
        files=(
            FileRule("images", "paper", "pegasus-paper.pdf", r"pegasus-paper\.pdf", (".pdf",), _IMAGES),
            _code("images", "pegasus-code", _IMAGES),
            _code("agent", "gravitar-code", _AGENT),
            _video("video", "gravitar-video-episode-N-score-S.mp4", _AGENT),
            FileRule("agent", "log", "gravitar-log.txt", r"gravitar-log\.txt", _LOG_SUFFIXES, _AGENT),
            _video("extra video", "gravitar-outtake-episode-N-score-S.mp4", ("outtake",)),
        ),
        bonus=(
            *_SHARED_ROWS,
            BonusRow("not white", "Your best Pegasus is non-white (e.g. brown or black)", -2),
            BonusRow("all white", "Nearly all winged horses in the batch are white", 1),
            BonusRow("48", "Train with STL-10 resized to 48x48 pixels", 1),
            BonusRow("64", "Train with STL-10 resized to 64x64 pixels", 1),
            BonusRow("96", "Train with STL-10 at the full 96x96 pixels", 3),
            BonusRow("other data", "Train on any other data outside of the datasets", -50),
        ),
        video="gravitar-video-episode-{episode}-score-{score}.mp4",
        extra_video="gravitar-outtake-episode-{episode}-score-{score}.mp4",
        score_step=50,
        first_episode=0,
        datasets=("cifar10", "stl10"),
    ),
    2021: Edition(
        year=2021,
        files=(
            FileRule("images", "paper", "part1-model-paper.pdf", r"part1-model-paper\.pdf", (".pdf",), _IMAGES),
            _code("images", "part1-model-code", _IMAGES),
            FileRule("agent", "paper", "part2-agent-paper.pdf", r"part2-agent-paper\.pdf", (".pdf",), _AGENT),
            _code("agent", "part2-agent-code", _AGENT),
            _video("video", "part2-agent-video,episode=N,score=S.mp4", _AGENT),
            FileRule("agent", "log", "part2-agent-log.txt", r"part2-agent-log\.txt", _LOG_SUFFIXES, _AGENT),
            _video("extra video", "part2-agent-video-hardcore,episode=N,score=S.mp4", ("hardcore",)),
        ),
        bonus=(
            *_SHARED_ROWS,
            BonusRow("48", "Train with STL-10, LSUN or FFHQ resized to 48x48 pixels", 1),
            BonusRow("64", "Train with STL-10, LSUN or FFHQ resized to 64x64 pixels", 1),
            BonusRow("96", "Train with STL-10, LSUN or FFHQ at 96x96 pixels or more", 2),
        ),
        video="part2-agent-video,episode={episode},score={score}.mp4",
        extra_video="part2-agent-video-hardcore,episode={episode},score={score}.mp4",
        score_step=None,
        first_episode=1,
        datasets=("cifar10", "stl10", "lsun", "ffhq"),
        least_episodes=500,
        most_steps=2000,
        more_code=False,
        interpolations=True,
    ),
}


def edition_of(year: int) -> Edition:
    """The rules of a year.

    :raises UserError: for a year without an edition
    """
    if year not in EDITIONS:
        raise UserError(f"--edition {year}: there are {' and '.join(map(str, EDITIONS))}")
    return EDITIONS[year]


def parse_video_name(name: str) -> VideoName:
    """Episode and score in a video's name, also in other spellings: ``2700 score.mp4``, ``gym.video000830.mp4``.

    In ``score-600`` the dash stands before the number, in ``score=-85`` and ``score--85`` it belongs to it.
    """
    text = name.lower()
    episode = re.search(r"ep(?:isode)?[-_=: ]{0,3}(\d{1,12})", text) or re.search(r"video0*(\d{1,12})\.mp4$", text)
    score = re.search(rf"score(?:=|[-_: ]{{1,2}}?)({_NUMBER})", text) or re.search(rf"({_NUMBER})[-_ ]?score", text)
    return VideoName(int(episode[1]) if episode else None, float(score[1]) if score else None)
