"""The command ``build``: the submission that an edition asks for, from the two runs.

    python -m submission build --edition 2020 --images runs/pegasus/cifar --agent runs/gravitar/first
    python -m submission build --edition 2021 --images runs/pegasus/stl --agent runs/walker/first

The best recorded episode becomes the video (rendered from its trace unless the run has it already), the log is written,
the code bundled, the papers built. The files are checked as a marker would, and only then zipped; after a fault nothing
is written but the beginnings of the papers' text. The same inputs give the same bytes.
"""

from __future__ import annotations

import io
import shutil
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from common.errors import UserError
from common.files import write_atomic
from common.run_folder import RunFolder
from common.scores.logs import read_log
from common.traces import TracedEpisode, read_header
from common.video_names import game_name, video_file_name
from rl.replay import open_traces, render_with_bar, select_episode
from submission.bonus import decide, read_run, summary
from submission.bundle import bundled, part_of
from submission.checking.check import check_submission
from submission.checking.findings import counted
from submission.edition import AGENT_LINE, Edition, Part, edition_of
from submission.options import BuildSettings
from submission.write_paper import paper_of

DATE = (2020, 1, 1, 0, 0, 0)  # of every file in the zip


def build(settings: BuildSettings) -> None:
    """Write the zip.

    :raises UserError: for an edition, run or text with which no submission can be made; when the files have a fault
    """
    edition = edition_of(settings.edition)
    _check(settings, edition)
    with tempfile.TemporaryDirectory(prefix="submission-") as made:
        folder = Path(made)
        traced = _add_video(settings.agent, settings.episode, edition, folder)
        _add_extra_video(settings, edition, folder)
        add_log(settings.agent, edition, folder)
        runs: dict[Part, Path] = {"images": settings.images, "agent": settings.agent}
        for part, run in runs.items():
            stem = edition.rule(part, "code").name.partition(".")[0]
            write_atomic(folder / f"{stem}.{settings.code}", bundled(run, f".{settings.code}", stem))
        pages = _add_papers(settings, edition, runs, folder)
        report = check_submission(folder, edition.year)
        for finding in report.findings:
            print(finding)
        if faults := report.findings.of("fault"):
            raise UserError(f"no submission was written: {faults[0].where} {faults[0].message}", status=1)
        write_atomic(settings.output, zipped(sorted(folder.iterdir())))
    decisions = decide(edition, [read_run(settings.images, settings.batch)], pages)
    print(f"bonus: {summary(decisions)}")
    print(f"{settings.output}: episode {traced.episode} with {traced.score:g} points; {counted(report.findings)}")


def zipped(files: Sequence[Path]) -> bytes:
    """A zip with these files at its top level; equal files give equal bytes."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for file in files:
            info = zipfile.ZipInfo(file.name, DATE)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.create_system, info.external_attr = 3, 0o100644 << 16
            archive.writestr(info, file.read_bytes())
    return written.getvalue()


def _check(settings: BuildSettings, edition: Edition) -> None:
    """Find errors before the long work."""
    if settings.output.suffix != ".zip":
        raise UserError(f"--output {settings.output}: a submission is a zip; choose a name in .zip")
    if settings.output.exists():
        raise UserError(f"{settings.output} exists and is never overwritten; choose another --output")
    for flag, run, part in (("--images", settings.images, "images"), ("--agent", settings.agent, "agent")):
        if part_of(run) != part:
            what = "a generative model" if part == "images" else "an agent"
            raise UserError(f"{flag} {run} is not the run of {what}")
    if settings.extra is not None and edition.year != 2020:
        raise UserError("--extra is the outtake of 2020; give --hardcore for the second video of 2021")
    if settings.hardcore is not None and edition.year != 2021:
        raise UserError("--hardcore is the second video of 2021; give --extra for the outtake of 2020")
    open_traces(settings.agent)
    for one in decide(edition, [read_run(settings.images, settings.batch)]):
        if one.applies and one.row.marks <= -50:
            raise UserError(
                f"{settings.images} breaks a rule ({one.row.marks} marks): {one.row.text.lower()}; {one.evidence}"
            )


def _add_video(run: Path, episode: int | None, edition: Edition, folder: Path, extra: bool = False) -> TracedEpisode:
    """Copy or render the video of an episode, the best one by default."""
    header = open_traces(run)
    traced = select_episode(run, episode)
    if edition.score_step is not None and traced.score <= 0:
        raise UserError(f"{run} has no episode worth a video: the best recorded one has {traced.score:g} points")
    path = folder / edition.video_name(traced.episode + edition.first_episode, traced.score, extra)
    there = RunFolder(run).videos / video_file_name(game_name(header), traced.episode, traced.score)
    if there.exists():
        shutil.copyfile(there, path)
    else:
        render_with_bar(read_header(RunFolder(run).traces), traced, path)
    return traced


def _add_extra_video(settings: BuildSettings, edition: Edition, folder: Path) -> None:
    if settings.extra is not None:
        _add_video(settings.agent, settings.extra, edition, folder, extra=True)
    if settings.hardcore is not None:
        _add_video(settings.hardcore, None, edition, folder, extra=True)


def add_log(run: Path, edition: Edition, folder: Path) -> None:
    """The log as the run has it; where it has no agent log, one from the scores of all episodes."""
    path = folder / edition.rule("agent", "log").name
    kept = RunFolder(run).marking_log if edition.score_step is not None else RunFolder(run).agent_log
    if edition.score_step is not None or kept.exists():
        try:
            shutil.copyfile(kept, path)
        except OSError as error:
            raise UserError(f"{run} has no log to hand in: {error.strerror}; give the folder of a training") from error
        return
    scores = read_log(RunFolder(run).monitor).scores.tolist()
    lines = [AGENT_LINE.format(number, score) for number, score in enumerate(scores, edition.first_episode)]
    write_atomic(path, "\n".join(lines) + "\n")


def _add_papers(settings: BuildSettings, edition: Edition, runs: dict[Part, Path], folder: Path) -> int:
    """The papers of the edition.

    :return: pages of the one on the generative model, without the references
    """
    counted_pages = 0
    for rule in edition.files:
        if rule.kind == "paper":
            prose = runs[rule.part] / "paper" if settings.prose is None else settings.prose / rule.part
            content, pages = paper_of(runs[rule.part], edition, prose, settings.batch)
            write_atomic(folder / rule.name, content)
            if rule.part == "images":
                counted_pages = pages
    return counted_pages
