"""A submission from two real runs: the edition's files, no warning, the same bytes again, and errors in one line."""

from __future__ import annotations

import dataclasses
import shutil
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from common.errors import UserError
from common.run_folder import RunFolder
from common.traces import TracedEpisode, read_episodes
from gen_models.training.settings import RunSettings
from submission.build import build
from submission.checking.check import check_submission
from submission.edition import EDITIONS
from submission.options import BuildSettings
from tests.submission.made_runs import NEEDS_LATEX, agent_run, images_run, whiten
from tests.submission.made_submissions import mp4

pytestmark = NEEDS_LATEX


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A generative model with a judged batch, and an agent, whose runs took seconds."""
    folder = tmp_path_factory.mktemp("runs")
    images = images_run(folder)
    whiten(images)
    (images / "figures" / "paper").mkdir(parents=True)
    Image.new("RGB", (64, 32)).save(images / "figures" / "paper" / "interpolations.png")
    return images, agent_run(folder / "runs")


def test_2020(runs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images, agent = runs
    output = tmp_path / "submission.zip"
    settings = BuildSettings(2020, images, agent, output, prose=tmp_path / "text")
    build(settings)
    said = capsys.readouterr().out
    best = max(read_episodes(RunFolder(agent).traces), key=lambda one: one.score)
    video = f"gravitar-video-episode-{best.episode}-score-{best.score:.0f}.mp4"
    with zipfile.ZipFile(output) as made:
        assert made.namelist() == sorted(
            ["pegasus-paper.pdf", "pegasus-code.ipynb", "gravitar-code.ipynb", video, "gravitar-log.txt"]
        )
        assert made.read("gravitar-log.txt") == RunFolder(agent).marking_log.read_bytes()
        assert made.testzip() is None
    assert [str(one) for one in check_submission(output).findings if one.level != "note"] == []
    assert "bonus: total -1; cannot be decided here: edited, uncited" in said  # CIFAR-10 alone, all white
    # Again, to the same bytes, with the video that the run has by now.
    with zipfile.ZipFile(output) as made:
        plant(agent, video, made.read(video))
    build(dataclasses.replace(settings, output=tmp_path / "again.zip"))
    assert (tmp_path / "again.zip").read_bytes() == output.read_bytes()


def plant(run: Path, name: str, content: bytes) -> None:
    """Put a video into a run's folder, so that it need not be rendered."""
    RunFolder(run).videos.mkdir(exist_ok=True)
    (RunFolder(run).videos / name).write_bytes(content)


def test_a_script_and_an_outtake(runs: tuple[Path, Path], tmp_path: Path) -> None:
    images, agent = runs
    episodes = sorted(read_episodes(RunFolder(agent).traces), key=lambda one: one.score)
    best, other = episodes[-1], next(one for one in episodes if one.score > 0)
    for one in (other, best):
        plant(agent, f"gravitar-video-episode-{one.episode}-score-{one.score:.0f}.mp4", mp4())
    build(BuildSettings(2020, images, agent, tmp_path / "one.zip", tmp_path / "text", code="py", extra=other.episode))
    with zipfile.ZipFile(tmp_path / "one.zip") as made:
        assert {"pegasus-code.py", "gravitar-code.py"} <= set(made.namelist())
        assert made.read(f"gravitar-outtake-episode-{other.episode}-score-{other.score:.0f}.mp4") == mp4()


def test_2021(runs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, agent = runs
    monkeypatch.setitem(EDITIONS, 2021, dataclasses.replace(EDITIONS[2021], least_episodes=2))
    output = tmp_path / "submission.zip"
    build(BuildSettings(2021, images, agent, output, tmp_path / "text", hardcore=agent))
    best = max(read_episodes(RunFolder(agent).traces), key=lambda one: one.score)
    score, number = round(best.score), best.episode + 1  # counted from 1
    with zipfile.ZipFile(output) as made:
        assert set(made.namelist()) == {
            "part1-model-paper.pdf", "part1-model-code.ipynb", "part2-agent-paper.pdf", "part2-agent-code.ipynb",
            f"part2-agent-video,episode={number},score={score}.mp4", "part2-agent-log.txt",
            f"part2-agent-video-hardcore,episode={number},score={score}.mp4",
        }  # fmt: skip
        lines = made.read("part2-agent-log.txt").decode().splitlines()
    assert lines[best.episode] == f"episode: {number}, reward: {best.score}"
    found = [str(one) for one in check_submission(output).findings]
    assert [one for one in found if not one.startswith("note")] == []


def test_bad_input(runs: tuple[Path, Path], tmp_path: Path) -> None:
    images, agent = runs
    output = tmp_path / "submission.zip"
    (tmp_path / "there.zip").write_bytes(b"")
    good = BuildSettings(2020, images, agent, output, tmp_path / "text")
    plain = copied(images, tmp_path / "plain").path
    shutil.rmtree(plain / "figures")
    for changes, message in [
        ({"edition": 2019}, "--edition 2019: there are 2020 and 2021"),
        ({"output": tmp_path / "there.zip"}, "never overwritten"),
        ({"output": tmp_path / "a.rar"}, "a submission is a zip"),
        ({"images": agent}, "is not the run of a generative model"),
        ({"agent": images}, "is not the run of an agent"),
        ({"agent": tmp_path}, "is not a run folder"),
        ({"episode": 10_000}, "has no episode 10000"),
        ({"batch": "other"}, "has no batch other"),
        ({"hardcore": agent}, "second video of 2021"),
        ({"edition": 2021, "extra": 1}, "outtake of 2020"),
        ({"edition": 2021, "images": plain}, r"needs .*interpolations\.png, which is missing: run_pegasus\.py figures"),
        ({"edition": 2021}, r"no submission was written: part2-agent-log\.txt has \d+ episodes, fewer than 500"),
    ]:
        with pytest.raises(UserError, match=message):
            build(dataclasses.replace(good, **changes))  # type: ignore[arg-type]
    assert not output.exists()


def copied(run: Path, folder: Path) -> RunFolder:
    shutil.copytree(run, folder)
    return RunFolder(folder)


def test_a_run_without_an_episode_worth_a_video(runs: tuple[Path, Path], tmp_path: Path) -> None:
    images, agent = runs
    folder = copied(agent, tmp_path / "agent")
    lines = folder.traces.read_text().splitlines(keepends=True)
    for content, message in (
        (lines[0], "no episode"),
        (
            lines[0] + "".join(one.line() for one in zeros(folder)),
            "no episode worth a video: the best recorded one has 0",
        ),
    ):
        folder.traces.write_text(content)
        with pytest.raises(UserError, match=message):
            build(BuildSettings(2020, images, folder.path, tmp_path / "submission.zip", tmp_path / "text"))
    folder.traces.unlink()
    with pytest.raises(UserError, match="there are no traces"):
        build(BuildSettings(2020, images, folder.path, tmp_path / "submission.zip", tmp_path / "text"))


def zeros(folder: RunFolder) -> list[TracedEpisode]:
    return [dataclasses.replace(one, score=0.0) for one in read_episodes(folder.traces)][:2]


def test_what_the_rules_forbid_is_refused(runs: tuple[Path, Path], tmp_path: Path) -> None:
    images, agent = runs
    folder = copied(images, tmp_path / "images")
    settings = RunSettings.from_yaml(folder.settings)
    data = dataclasses.replace(settings.data, specs=("cifar10", "sprites"))
    folder.settings.write_text(dataclasses.replace(settings, data=data).to_yaml())
    with pytest.raises(UserError, match=r"breaks a rule .*train on any other data .*sprites is in neither"):
        build(BuildSettings(2020, folder.path, agent, tmp_path / "submission.zip", tmp_path / "text"))
