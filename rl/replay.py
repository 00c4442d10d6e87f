"""The command ``replay``: videos of any episode of a run, and the verification of its scores.

run_gravitar.py replay runs/gravitar/demo --best
run_gravitar.py replay runs/gravitar/demo --episode 100 --outtake
run_gravitar.py replay runs/gravitar/demo --verify
"""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from common.errors import UserError, check_at_least, nearest
from common.run_folder import RunFolder, read_settings
from common.traces import TracedEpisode, TraceHeader, find_episode, read_episodes, read_header
from common.video_names import first_episode, game_name, video_file_name
from rl.options import ReplaySettings
from rl.traces.playback import Picture, check_versions, game_settings
from rl.traces.verification import verify
from rl.traces.video import RenderedVideo, render_episode

SHOWN_DIFFERENCES = 20
MOST_SCALE = 24  # 3,840 pixels across for Atari games


def replay(settings: ReplaySettings) -> None:
    """Make the video, or verify the scores, and print the result to stdout.

    :raises UserError: for bad arguments or files (status 2), for scores that differ (status 1)
    """
    if [settings.episode is not None, settings.best, settings.verify].count(True) != 1:
        raise UserError("say one of --episode N, --best and --verify")
    for name in ("outtake", "output", "scale"):
        if settings.verify and getattr(settings, name) not in (None, False):
            raise UserError(f"--{name} is for videos, it does not go with --verify")
    if settings.sample is not None and not settings.verify:
        raise UserError("--sample goes with --verify")
    check_at_least(0, {"--seed": settings.seed})
    if settings.scale is not None and not 2 <= settings.scale <= MOST_SCALE:
        raise UserError(f"--scale {settings.scale}: an even number from 2 to {MOST_SCALE}")
    header = open_traces(settings.run, settings.force)
    if settings.verify:
        _verify(settings)
    else:
        _video(settings, header)


def open_traces(run_folder: Path, force: bool = False) -> TraceHeader:
    """The header of a run's traces, checked against the run's settings and the installed versions.

    :param force: accept other versions of ale-py or gymnasium
    :raises UserError: when there are no traces, or they are of another environment or made with other versions
    """
    path = RunFolder(run_folder).traces
    if not run_folder.is_dir():
        parent = run_folder.parent
        siblings = [other.name for other in parent.iterdir()] if parent.is_dir() else []
        raise UserError(f"there is no run folder {run_folder}{nearest(run_folder.name, siblings)}")
    if not path.exists():
        raise UserError(f"there are no traces {path}; give the folder of a training, or of a search with fixed noise")
    header = read_header(path)
    env_id = _trained_env(RunFolder(run_folder).settings)
    if env_id is not None and env_id != header.env_id:
        raise UserError(f"{path} is of {header.env_id}, but settings.yml says {env_id}; restore the run's own traces")
    if not force:
        check_versions(header, str(path))
    return header


def select_episode(run_folder: Path, episode: int | None = None) -> TracedEpisode:
    """An episode by its number, or the best one.

    :param episode: its number; None for the highest score, the first of several
    :raises UserError: when there is none
    """
    path = RunFolder(run_folder).traces
    if episode is not None:
        return find_episode(path, episode)
    best = max(read_episodes(path), key=lambda traced: traced.score, default=None)
    if best is None:
        raise UserError(f"{path} has no episodes: none has finished yet")
    return best


def video_path(settings: ReplaySettings, header: TraceHeader, traced: TracedEpisode) -> Path:
    """The video's path, such as ``videos/gravitar-video-episode-1210-score-85.mp4`` in the run folder.

    :raises UserError: when ``output`` is neither an .mp4 file nor a folder
    """
    kind = "outtake" if settings.outtake else "video"
    name = video_file_name(game_name(header), traced.episode, traced.score, kind)
    output = settings.output or RunFolder(settings.run).videos
    if output.suffix == ".mp4" and not output.is_dir():
        return output
    if output.suffix and not output.is_dir():
        raise UserError(f"--output {output}: videos are written as .mp4; choose such a name, or a folder")
    return output / name


def _video(settings: ReplaySettings, header: TraceHeader) -> None:
    first = first_episode(game_name(header))
    traced = select_episode(settings.run, None if settings.episode is None else settings.episode - first)
    path = video_path(settings, header, traced)
    video = render_with_bar(header, traced, path, settings.scale)
    print(
        f"episode {traced.episode + first}: {video.score:g} points in {traced.length} steps, as traced; "
        f"{video.frames} pictures, {video.frames / video.fps:.1f} s at {video.fps:g} per second\n{video.path}"
    )


def render_with_bar(header: TraceHeader, traced: TracedEpisode, path: Path, scale: int | None = None) -> RenderedVideo:
    """``rl.traces.video.render_episode`` with a progress bar in the terminal."""
    settings = game_settings(header)
    pictures = 1 + traced.length * (settings.mean_skip if settings else 1)
    console = Console(stderr=True)
    columns = (TextColumn("rendering"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("rendering", total=pictures)

        def advance(_: Picture) -> None:
            bar.advance(task)

        return render_episode(header, traced, path, scale, advance)


def _verify(settings: ReplaySettings) -> None:
    found = verify(settings.run, settings.sample, settings.seed)
    which = "all" if found.episodes == found.total else f"{found.episodes} (seed {settings.seed}) of"
    compared = ", ".join(f"{source} ({count})" for source, count in found.compared.items())
    folder = RunFolder(settings.run)
    for log in (folder.monitor, folder.marking_log):
        if not log.exists():
            print(f"there is no {log}: not compared")
    untraced = {difference.episode for difference in found.differences if difference.untraced}
    if len(untraced) > SHOWN_DIFFERENCES and all(difference.untraced for difference in found.differences):
        raise UserError(
            f"{len(untraced)} episodes of the logs have no trace, as in a copy that pack made, and cannot be verified; "
            f"the {found.total} that have one are as logged (--sample {found.total} looks at these alone)",
            status=1,
        )
    if found.differences:
        for difference in found.differences[:SHOWN_DIFFERENCES]:
            print(difference)
        if len(found.differences) > SHOWN_DIFFERENCES:
            print(f"... and {len(found.differences) - SHOWN_DIFFERENCES} more")
        episodes = len({difference.episode for difference in found.differences})
        differ = "1 episode differs" if episodes == 1 else f"{episodes} episodes differ"
        message = f"{differ}; {which} {found.total} episodes were played again"
        raise UserError(message, status=1)
    print(f"{which} {found.total} episodes played again: scores and lengths are as written in {compared}")


def _trained_env(path: Path) -> str | None:
    """The environment's id in ``settings.yml``; None where there is no such file, as in the folder of a script."""
    if not path.exists():
        return None
    content = read_settings(path)
    try:
        return str(content["environment"]["env_id"])
    except (KeyError, TypeError) as error:
        message = f"{path} does not say which environment was trained; restore it from a copy"
        raise UserError(message) from error
