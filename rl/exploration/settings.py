"""Settings of a search, and its archive on disk.

Credits: A. Ecoffet et al. 2021 (arXiv 2004.12919), Go-Explore.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from common.checkpoints import latest_checkpoint
from common.errors import UserError, check_at_least
from common.npz import unpack_arrays
from common.records import plain
from common.run_folder import RunFolder, load_settings, package_versions, read_settings
from rl.envs.atari_game import GameSettings
from rl.envs.make_env import EnvironmentSettings, trace_header
from rl.exploration.archive import Archive
from rl.exploration.games import explored_game

ARCHIVE = "archive.npz"  # in a checkpoint
COUNTERS = ("rounds", "steps", "seconds", "log_length")


@dataclass(frozen=True)
class SearchSettings:
    """All settings of a search, as in ``settings.yml``.

    :param environment: the game; its observation is not used
    :param noise: ``fixed`` or ``fresh``
    :param seed: of everything
    :param timesteps: budget, agent steps
    :param cells: largest number of cells
    :param processes: that play; None for one for each core
    :param video: whether to make the video of the best game
    :param checkpoint_minutes: between checkpoints
    :param versions: of packages on which the result depends
    :param git_commit: of this code
    """

    environment: EnvironmentSettings
    noise: Literal["fixed", "fresh"]
    seed: int
    timesteps: int
    cells: int
    processes: int | None = None
    video: bool = True
    checkpoint_minutes: float = 5.0
    versions: dict[str, str] = field(default_factory=dict)
    git_commit: str | None = None

    def check(self) -> None:
        """:raises UserError: for a number out of range, or a game that cannot be explored"""
        check_at_least(1, {"--timesteps": self.timesteps})
        check_at_least(100, {"--cells": self.cells})
        check_at_least(0, {"--seed": self.seed, "--checkpoint-minutes": self.checkpoint_minutes})
        if self.environment.protocol.sticky >= 1:
            raise UserError(f"{self.environment.env_id} always repeats its first action; there is nothing to explore")
        if not isinstance(self.game.frame_skip, int):
            env_id = self.environment.env_id
            raise UserError(f"{env_id} draws its frame skip at random, so it cannot be put back; explore its v5 id")
        explored_game(self.game.game)

    @property
    def game(self) -> GameSettings:
        """The emulator's settings."""
        game = trace_header(self.environment).game
        assert game is not None  # it is an Atari game
        return GameSettings(**game)

    def to_yaml(self) -> str:
        """The content of ``settings.yml``."""
        return yaml.safe_dump(plain(self), sort_keys=False)

    @staticmethod
    def from_yaml(path: Path) -> SearchSettings:
        """Read ``settings.yml``.

        :raises UserError: when it is absent or not a search's
        """
        return load_settings(SearchSettings, path, _not_a_training)


def _not_a_training(content: Any) -> Any:
    if isinstance(content, dict) and "algo" in content:
        raise UserError("it is a training's, not a search's")
    return content


def check_version(settings: SearchSettings, run: Path) -> None:
    """Refuse an archive whose states another version of ale-py has made.

    :raises UserError: when the version differs from the installed one
    """
    made, installed = settings.versions.get("ale-py"), package_versions(("ale-py",))["ale-py"]
    if made != installed:
        raise UserError(f"{run} was made with ale-py {made}, installed is {installed}: its states may not fit")


def is_search(run: Path) -> bool:
    """Whether a run folder is a search's, not a training's.

    :raises UserError: when it has no readable ``settings.yml``
    """
    content = read_settings(RunFolder(run).settings)
    return isinstance(content, dict) and "noise" in content


def load_archive(run: Path) -> tuple[SearchSettings, Archive]:
    """The archive of a search, from its latest intact checkpoint.

    :raises UserError: when there is none, it is damaged, or it was made with another version of ale-py
    """
    settings = SearchSettings.from_yaml(RunFolder(run).settings)
    check_version(settings, run)
    checkpoint = latest_checkpoint(RunFolder(run).checkpoints)
    if checkpoint is None:
        raise UserError(f"{run} has no checkpoint yet; explore first")
    return settings, read_archive(checkpoint)[0]


def read_archive(checkpoint: Path) -> tuple[Archive, dict[str, Any]]:
    """The archive in a checkpoint, and the counters beside it.

    :raises UserError: when the file is not an archive's (status 1)
    """
    path = checkpoint / ARCHIVE
    try:
        arrays = unpack_arrays(path.read_bytes())
        counters = {name: arrays[name].item() for name in COUNTERS}
        return Archive.from_arrays(arrays), counters
    except (OSError, KeyError, ValueError, IndexError, TypeError) as error:
        raise UserError(f"{path} does not hold an archive ({error}); restore it from a copy", status=1) from error
