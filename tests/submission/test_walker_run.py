"""Log and video of a real run of the walker, checked as a submission of 2021."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.run_folder import RunFolder
from common.traces import read_episodes
from rl.commands.walker import train_walker
from rl.commands.walker_options import WalkerTrainSettings
from rl.options import ReplaySettings
from rl.replay import replay
from submission.build import add_log
from submission.checking.check import check_submission
from submission.edition import EDITIONS
from tests.submission.made_submissions import walker_files, write_zip

LOG = "part2-agent-log.txt"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Some episodes of random actions, and the video of the best."""
    runs = tmp_path_factory.mktemp("runs")
    # At most 250 steps an episode, so that the video is short; some robots stand for longer.
    values = ("n_envs=8", "learning_starts=2000", "buffer_size=2000", "policy_kwargs=dict(net_arch=[8])")
    train_walker(WalkerTrainSettings(algo="td3", timesteps=2000, set=values, video_every=0, runs=runs, name="short"))
    folder = RunFolder(runs / "walker/short")
    replay(ReplaySettings(folder.path, best=True))
    return folder


def test_log_and_video_are_as_the_edition_wants_them(run: RunFolder, tmp_path: Path) -> None:
    (video,) = run.videos.iterdir()
    add_log(run.path, EDITIONS[2021], tmp_path)
    assert (tmp_path / LOG).read_bytes() == run.agent_log.read_bytes()
    others = {name: content for name, content in walker_files().items() if not name.endswith(".mp4")}
    files = {**others, LOG: (tmp_path / LOG).read_bytes(), video.name: video.read_bytes()}
    count = len(list(read_episodes(run.traces)))
    short = f"has {count} episodes, fewer than 500"  # the one thing that is wrong with so short a run
    report = check_submission(write_zip(tmp_path / "submission.zip", files))
    assert report.edition == EDITIONS[2021]
    assert [str(one) for one in report.findings if one.level != "note"] == [f"fault: {LOG}: {short}"]
    assert not any("better episode" in one.message for one in report.findings)
    alone = check_submission(run.agent_log, 2021)
    assert [str(one) for one in alone.findings] == [f"fault: agent-log.txt: {short}"]


def test_the_video_of_another_episode_is_named(run: RunFolder, tmp_path: Path) -> None:
    (video,) = run.videos.iterdir()
    best = max(read_episodes(run.traces), key=lambda one: one.score)
    wrong = video.name.replace(f"score={round(best.score)}", f"score={round(best.score) + 400}")
    others = {name: content for name, content in walker_files().items() if not name.endswith(".mp4")}
    files = {**others, LOG: run.agent_log.read_bytes(), wrong: video.read_bytes()}
    found = [str(one) for one in check_submission(write_zip(tmp_path / "submission.zip", files)).findings]
    assert any(one.startswith(f"warning: {wrong}: says") and f"for episode {best.episode + 1}" in one for one in found)
