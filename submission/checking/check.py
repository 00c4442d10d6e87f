"""The command ``check``: what a marker would find wrong with a submission. Nothing in it is run.

python -m submission check submission.zip
python -m submission check gravitar-log.txt --edition 2020 --json
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from common.errors import UserError
from common.scores.logs import ScoreLog
from submission.checking.archive import Contents, Member, open_submission
from submission.checking.code_file import CodeFile, read_code
from submission.checking.findings import Finding, Findings, counted
from submission.checking.log_check import check_best, check_log, check_video_name, read_submitted_log
from submission.checking.names import Files, assign, guess_edition
from submission.checking.probe import probe
from submission.edition import EDITIONS, Edition, FileRule, VideoName, edition_of, parse_video_name
from submission.options import CheckSettings

SHORTEST_VIDEO = 1.0  # seconds
SMALLEST_SIDE = 100  # pixels
MOST_TOGETHER = 500_000_000  # bytes of all files


@dataclass
class Report:
    """What was found in a submission.

    :param edition: whose rules were used; None where no file told
    :param log: the scores, if a log could be read
    :param papers: pages of each paper by its file's name: all, and those that count
    :param stated_text: text of the papers, to look for what they state
    :param video: what the video's name says
    """

    path: Path
    edition: Edition | None = None
    findings: Findings = field(default_factory=Findings)
    files: dict[str, str] = field(default_factory=dict)
    log: ScoreLog | None = None
    papers: dict[str, tuple[int, int]] = field(default_factory=dict)
    stated_text: str = ""
    video: VideoName = field(default_factory=VideoName)

    def as_json(self) -> dict[str, Any]:
        """Everything but the scores."""
        return {
            "submission": str(self.path),
            "edition": self.edition.year if self.edition else None,
            "files": self.files,
            "pages": {name: {"all": pages, "counted": counted} for name, (pages, counted) in self.papers.items()},
            "findings": [finding.as_json() for finding in self.findings],
        }


def check(settings: CheckSettings) -> None:
    """Print what is found.

    :raises UserError: when there is nothing to open (status 2); after faults (status 1)
    """
    report = check_submission(settings.what, settings.edition)
    if settings.json:
        print(json.dumps(report.as_json(), indent=1))
    else:
        for level in ("fault", "warning", "note"):
            for finding in report.findings.of(level):
                print(finding)
        year = f"edition {report.edition.year}" if report.edition else "no edition"
        print(f"{settings.what} ({year}): {counted(report.findings)}")
    faults = len(report.findings.of("fault"))
    if faults:
        raise UserError(f"{settings.what} has {faults} fault{'' if faults == 1 else 's'}", status=1)


def check_submission(path: Path, year: int | None = None) -> Report:
    """Check a zip, a folder or a log.

    :param year: of the rules; None to tell by the files' names
    :raises UserError: when there is nothing at the path or no such edition
    """
    if not path.exists():
        raise UserError(f"{path} does not exist; give a submission's zip or folder, or a log")
    chosen = edition_of(year) if year is not None else None
    report = Report(path)
    findings = report.findings
    try:
        with (
            open_submission(path, findings) as contents,
            tempfile.TemporaryDirectory(prefix="submission-") as folder,
        ):
            _check_contents(contents, chosen, report, Path(folder))
    except UserError as error:
        findings.fault(path.name, str(error))
    return report


def _check_contents(contents: Contents, chosen: Edition | None, report: Report, folder: Path) -> None:
    findings = report.findings
    members = contents.members
    if [member.path for member in members] == [report.path.name] and report.path.is_file():
        _check_log_alone(contents, chosen, report, folder)
        return
    if not members:
        findings.fault(report.path.name, "holds no file that can be read")
        return
    report.edition = edition = chosen or guess_edition(members)
    if edition is None:
        years = " and ".join(map(str, EDITIONS))
        findings.fault(report.path.name, f"has no file with a name of the editions {years}; say which with --edition")
        return
    total = sum(member.size for member in members)
    if total > MOST_TOGETHER:
        findings.warning(report.path.name, f"its files have {total / 1e6:.0f} MB together")
    files = assign(members, edition, findings)
    report.files = {f"{rule.part} {rule.kind}": member.path for rule, member in files.items()}
    _check_files(contents, files, report, folder)


def _check_log_alone(contents: Contents, chosen: Edition | None, report: Report, folder: Path) -> None:
    member = contents.members[0]
    log = _read_log(contents, member, report, folder)
    if log is not None:
        report.edition = chosen or EDITIONS[2021 if log.kind == "agent-2021" else 2020]
        report.files = {"agent log": member.path}
        check_log(log, report.edition, report.findings)


def _check_files(contents: Contents, files: Files, report: Report, folder: Path) -> None:
    by_kind = {(rule.part, rule.kind): (rule, member) for rule, member in files.items()}
    if ("agent", "log") in by_kind:
        log = _read_log(contents, by_kind["agent", "log"][1], report, folder)
        if log is not None:
            assert report.edition is not None
            check_log(log, report.edition, report.findings)
    for (_, kind), (rule, member) in by_kind.items():
        if kind == "paper":
            _check_paper(contents, member, report, folder)
        elif kind == "code":
            _check_code(contents, rule, member, report, folder)
        elif kind in ("video", "extra video"):
            _check_video(contents, rule, member, report, folder)


def _read_log(contents: Contents, member: Member, report: Report, folder: Path) -> ScoreLog | None:
    path = _unpacked(contents, member, report.findings, folder)
    if path is not None:
        try:
            report.log = read_submitted_log(path, member.name)
        except UserError as error:
            report.findings.fault(member.path, str(error))
    return report.log


def _check_paper(contents: Contents, member: Member, report: Report, folder: Path) -> None:
    found = _probed("pdf", "cannot be opened as a PDF", contents, member, report.findings, folder)
    if found is None:
        return
    pages, counted_pages = int(found["pages"]), int(found["counted"])
    report.papers[member.path] = pages, counted_pages
    report.stated_text += found["text"] + "\n"
    assert report.edition is not None
    over = max(0, counted_pages - report.edition.most_pages)
    text = f"{pages} pages, {counted_pages} of them without the references"
    if over:
        report.findings.warning(member.path, f"has {text}: {-5 * over} marks")
    else:
        report.findings.note(member.path, f"has {text}")


def _check_code(contents: Contents, rule: FileRule, member: Member, report: Report, folder: Path) -> None:
    path = _unpacked(contents, member, report.findings, folder)
    if path is None:
        return
    try:
        code = read_code(path, member.name)
    except UserError as error:
        report.findings.fault(member.path, str(error))
        return
    if not code.has_credits:
        report.findings.warning(member.path, "has no credits at its top; what it builds on must be cited there")
    assert report.edition is not None
    if rule.part == "agent":
        _check_agent_code(code, member, report.edition, report.findings)


def _check_agent_code(code: CodeFile, member: Member, edition: Edition, findings: Findings) -> None:
    if edition.score_step is not None and not code.marking_print:
        how = (
            "prints the 'marking' line in another format" if code.marking_print is False else "prints no 'marking' line"
        )
        findings.warning(member.path, f"{how} than the starter code, which must not be changed")
    if edition.most_steps is not None:
        steps = code.most_steps
        if steps is None:
            findings.note(
                member.path, f"does not say the most steps of an episode, which are to be {edition.most_steps}"
            )
        elif steps > edition.most_steps:
            findings.fault(member.path, f"allows {steps:,} steps an episode, more than {edition.most_steps:,}")


def _check_video(contents: Contents, rule: FileRule, member: Member, report: Report, folder: Path) -> None:
    said = parse_video_name(member.name)
    assert report.edition is not None
    hardcore = rule.kind == "extra video" and report.edition.year == 2021  # of another environment than the log
    if rule.kind == "video":
        report.video = said
    if report.log is not None and not hardcore:
        check_video_name(member.path, said, report.log, report.edition, report.findings)
        if rule.kind == "video":
            check_best(member.path, said, report.log, report.findings)
    found = _probed("video", "cannot be played", contents, member, report.findings, folder)
    if found is None:
        return
    text = f"{found['seconds']:.1f} s, {found['width']}x{found['height']} pixels, {found['frames']} frames"
    if found["seconds"] < SHORTEST_VIDEO or min(found["width"], found["height"]) < SMALLEST_SIDE:
        report.findings.warning(member.path, f"is very short or small: {text}")
    else:
        report.findings.note(member.path, text)


def _unpacked(contents: Contents, member: Member, findings: list[Finding], folder: Path) -> Path | None:
    """The member as a file with a name of ours; None, and a finding, where it is damaged."""
    path = folder / str(len(list(folder.iterdir())))
    try:
        contents.unpack(member, path)
    except UserError as error:
        findings.append(Finding("fault", member.path, str(error)))
        return None
    return path


def _probed(
    kind: Literal["pdf", "video"], problem: str, contents: Contents, member: Member, findings: Findings, folder: Path
) -> dict[str, Any] | None:
    """What a member holds, see ``probe``; None, and a finding, where it cannot be read.

    :param problem: what to say then
    """
    path = _unpacked(contents, member, findings, folder)
    if path is None:
        return None
    found = probe(kind, path)
    if "error" in found:
        findings.fault(member.path, f"{problem}: {found['error']}")
        return None
    return found
