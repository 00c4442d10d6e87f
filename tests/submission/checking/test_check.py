"""The check: a right submission has no warning, and each thing that can be wrong is said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest

from common.cli import Commands, run_cli
from submission.checking import log_check
from submission.checking.check import check, check_submission
from submission.checking.findings import Finding
from submission.checking.probe import probe
from submission.edition import EDITIONS, VideoName, parse_video_name
from submission.options import CheckSettings
from tests.submission.made_submissions import (
    AGENT_CODE,
    CODE,
    LOG,
    PAPER,
    gravitar_files,
    gravitar_log,
    gravitar_scores,
    mp4,
    notebook,
    pdf,
    walker_files,
    walker_log,
    walker_rewards,
    write_zip,
)


def findings(tmp_path: Path, files: dict[str, bytes], level: str | None = None, year: int | None = None) -> list[str]:
    path = write_zip(tmp_path / "submission.zip", files)
    found = check_submission(path, year).findings
    return [str(one) for one in found if level is None or one.level == level]


def video_of(files: dict[str, bytes]) -> str:
    return next(name for name in files if name.endswith(".mp4"))


def with_log(text: str | bytes) -> dict[str, bytes]:
    return {**gravitar_files(), LOG: text if isinstance(text, bytes) else text.encode()}


@pytest.mark.parametrize("files", [gravitar_files, walker_files])
def test_a_right_submission_has_notes_only(tmp_path: Path, files: object) -> None:
    assert callable(files)
    found = findings(tmp_path, files())
    assert [one for one in found if not one.startswith("note")] == []
    assert any("pages" in one for one in found) and any("frames" in one for one in found)


def test_a_folder_is_the_same_as_its_zip(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for name, content in gravitar_files().items():
        (folder / name).write_bytes(content)
    assert sorted(str(one) for one in check_submission(folder).findings) == sorted(findings(tmp_path, gravitar_files()))


def test_missing_and_surplus_files(tmp_path: Path) -> None:
    files = gravitar_files()
    del files[PAPER], files[LOG]
    found = findings(tmp_path, {**files, "notes.docx": b"x", "helper.py": b"x = 1  # based on y"})
    assert f"fault: {PAPER}: is missing" in found
    assert f"fault: {LOG}: is missing" in found
    assert "warning: notes.docx: is none of the files that the assignment names" in found
    assert "warning: helper.py: is none of the files that the assignment names" in found
    walker = findings(tmp_path, {**walker_files(), "helper.py": b"x = 1"}, "fault")
    assert walker == ["fault: helper.py: is a further source file, which the assignment does not allow"]


def test_a_folder_within(tmp_path: Path) -> None:
    found = findings(tmp_path, {f"abcd12/{name}": content for name, content in gravitar_files().items()})
    assert [one for one in found if not one.startswith("note")] == [
        "warning: abcd12: is a folder in the submission; the files belong at the top level"
    ]


def test_names_of_their_own_are_recognised(tmp_path: Path) -> None:
    files = gravitar_files()
    files["DL_Assignment.ipynb"], files["RL_assignment.ipynb"] = files.pop(CODE), files.pop(AGENT_CODE)
    files["my log.txt"] = files.pop(LOG)
    found = findings(tmp_path, files)
    assert [one for one in found if not one.startswith("note")] == [
        "warning: DL_Assignment.ipynb: taken for pegasus-code.ipynb or .py, whose name it does not have",
        "warning: RL_assignment.ipynb: taken for gravitar-code.ipynb or .py, whose name it does not have",
        "warning: my log.txt: taken for gravitar-log.txt, whose name it does not have",
    ]


@pytest.mark.parametrize(
    ("name", "episode", "score"),
    [
        ("gravitar-video-episode-1210-score-85.mp4", 1210, 85.0),
        ("gravitar-video-episode 1000-score-600.mp4", 1000, 600.0),
        ("2700 score.mp4", None, 2700.0),
        ("gravitar-video.mp4", None, None),
        ("openaigym.video.2.61.video000830.mp4", 830, None),
        ("part2-agent-video,episode=210,score=-85.mp4", 210, -85.0),
        ("part2-agent-video,episode=210,score=301.75.mp4", 210, 301.75),
        ("part2-agent-video,episode=3,score=a.mp4", 3, None),
        ("gravitar-outtake-episode-100-score-50.mp4", 100, 50.0),
        ("part2-agent-video-episode-3-score--85.mp4", 3, -85.0),
    ],
)
def test_names_of_videos(name: str, episode: int | None, score: float | None) -> None:
    assert parse_video_name(name) == VideoName(episode, score)


def test_exact_names_fit_their_rules() -> None:
    for edition in EDITIONS.values():
        for extra in (False, True):
            name = edition.video_name(1210, -85.4, extra)
            rule = edition.rule("agent", "extra video" if extra else "video")
            assert rule.fits(name) and not edition.rule("agent", "log").fits(name)
            assert parse_video_name(name) == VideoName(1210, -85.0)
    assert EDITIONS[2021].video_name(225, -70.2) == "part2-agent-video,episode=225,score=-70.mp4"


def video_findings(tmp_path: Path, files: dict[str, bytes], name: str) -> list[str]:
    renamed = {name if old == video_of(files) else old: content for old, content in files.items()}
    return [one for one in findings(tmp_path, renamed) if f": {name}: " in one and "frames" not in one]


def test_a_videos_score_against_the_log(tmp_path: Path) -> None:
    scores = gravitar_scores(501)
    scores[200], scores[210], scores[220] = 600, 50, 100
    files = gravitar_files(scores)
    better = "the log has a better episode"

    def said(name: str) -> list[str]:
        return [one for one in video_findings(tmp_path, files, name) if better not in one]

    assert said("gravitar-video-episode-200-score-600.mp4") == []
    assert said("gravitar-video-episode-199-score-600.mp4")[0].endswith(
        "is that of episode 200 in the log, next to the one it says"
    )
    assert "the log has 50 for episode 210" in said("gravitar-video-episode-210-score-600.mp4")[0]
    assert "the log ends at 500" in said("gravitar-video-episode-900-score-600.mp4")[0]
    assert "cannot be compared" in said("gravitar-video-episode-205-score-300.mp4")[0]
    assert "it can only have been between 0 and" in said("gravitar-video-episode-205-score-90000.mp4")[0]
    odd = said("gravitar-video.mp4")
    assert any("does not say its episode and score" in one for one in odd) and any("taken for" in one for one in odd)


def test_a_log_of_nothing_but_0_and_a_video_of_600(tmp_path: Path) -> None:
    files = {**gravitar_files(), LOG: gravitar_log(np.zeros(501)).encode()}
    found = video_findings(tmp_path, files, "gravitar-video-episode-205-score-600.mp4")
    assert found == [
        "warning: gravitar-video-episode-205-score-600.mp4: says 600 points; by the log's means it can only have been "
        "between 0 and 0"
    ]
    assert f"warning: {LOG}: every score in it is 0" in findings(tmp_path, files)


def test_walker_scores_may_be_floored(tmp_path: Path) -> None:
    rewards = walker_rewards(600)
    rewards[499] = 301.9
    files = walker_files(rewards)
    assert [
        one
        for one in video_findings(tmp_path, files, "part2-agent-video,episode=500,score=301.mp4")
        if "better" not in one
    ] == []
    found = video_findings(tmp_path, files, "part2-agent-video,episode=500,score=303.mp4")
    assert "the log has 301.9 for episode 500" in found[0]


def test_the_logs_length(tmp_path: Path) -> None:
    short = {"part2-agent-log.txt": walker_log([-100.0 + k / 7 for k in range(499)]).encode()}
    assert "fault: part2-agent-log.txt: has 499 episodes, fewer than 500" in findings(
        tmp_path, {**walker_files(), **short}
    )
    good = {"part2-agent-log.txt": walker_log([300.0 + k / 1000 for k in range(400)]).encode()}
    found = findings(tmp_path, {**walker_files(), **good})
    assert any(one.startswith("note: part2-agent-log.txt: has 400 episodes") for one in found)


@pytest.mark.parametrize(
    ("log", "wrong"),
    [
        ("episode: 1, score: 50.0\n", f"fault: {LOG}: has no line that starts with 'marking'"),
        ("\0\1\2" * 100, f"fault: {LOG}: {LOG} is a binary file"),
        ("", f"fault: {LOG}: {LOG} is empty"),
        (
            gravitar_log(gravitar_scores(201)).replace("marking, ", "marking: "),
            "3 marking lines not in the exact format",
        ),
        (gravitar_log(gravitar_scores(201) + 7), "21 scores are no multiples of 50"),
    ],
)
def test_what_a_log_must_be(tmp_path: Path, log: str, wrong: str) -> None:
    assert any(wrong in one and not one.startswith("note") for one in findings(tmp_path, with_log(log)))


def test_real_logs_are_messy_and_that_is_no_fault(tmp_path: Path) -> None:
    text = gravitar_log(gravitar_scores(501))
    cut = text[: text.index("episode: 330")] + text[text.index("marking, episode: 300") :]  # a restart from 300
    messy = "UserWarning: overwriting\r\n" + cut.replace("\n", "\r\n") + "Traceback (most recent call last):\r\n  File"
    found = findings(tmp_path, with_log(messy))
    assert [one for one in found if not one.startswith("note") and LOG in one] == []
    assert any("Windows line ends" in one for one in found)


def test_a_log_that_is_too_long_is_read_in_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_check, "MOST_BYTES", 2000)
    found = findings(tmp_path, with_log(gravitar_log(gravitar_scores(901))))
    assert f"warning: {LOG}: the file is longer than what is read of it" in found


def test_a_gigabyte_of_nothing_ends_at_once(tmp_path: Path) -> None:
    path = tmp_path / LOG
    with path.open("wb") as file:
        file.truncate(2**30)
    began = time.monotonic()
    report = check_submission(path)
    assert [one.level for one in report.findings] == ["fault"] and "binary" in report.findings[0].message
    assert time.monotonic() - began < 20


def test_pages_count_without_references(tmp_path: Path) -> None:
    assert "note: pegasus-paper.pdf: has 5 pages, 4 of them without the references" in findings(
        tmp_path, {**gravitar_files(), PAPER: pdf(4)}
    )
    found = findings(tmp_path, {**gravitar_files(), PAPER: pdf(6, references=False)}, "warning")
    assert found == ["warning: pegasus-paper.pdf: has 6 pages, 6 of them without the references: -10 marks"]


@pytest.mark.parametrize("content", [b"", b"%PDF-1.7\n%%EOF", b"hello", pdf()[: len(pdf()) // 2]])
def test_papers_that_cannot_be_opened(tmp_path: Path, content: bytes) -> None:
    found = findings(tmp_path, {**gravitar_files(), PAPER: content}, "fault")
    assert len(found) == 1 and "cannot be opened as a PDF" in found[0]


def test_a_pdf_that_is_a_bomb_ends_with_its_process(tmp_path: Path) -> None:
    # A page whose content is 4 GB of spaces, deflated twice.
    stream = zlib.compress(zlib.compress(b" " * 400_000_000, 9), 9)
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents 4 0 R>>",
        b"<</Length %d/Filter[/FlateDecode/FlateDecode]>>stream\n%s\nendstream" % (len(stream), stream),
    ]
    data = b"%PDF-1.4\n"
    for number, content in enumerate(objects, 1):
        data += b"%d 0 obj%s endobj\n" % (number, content)
    (tmp_path / "bomb.pdf").write_bytes(data + b"trailer<</Root 1 0 R/Size 5>>\n%%EOF")
    began = time.monotonic()
    found = probe("pdf", tmp_path / "bomb.pdf", seconds=5)
    assert time.monotonic() - began < 40
    assert "error" in found or found["pages"] == 1


def test_a_probe_that_does_not_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "sh"
    script.write_text("#!/bin/sh\nexec sleep 60\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    began = time.monotonic()
    assert "takes longer than 1 seconds" in probe("pdf", tmp_path / "x.pdf", seconds=0.5)["error"]
    assert time.monotonic() - began < 40


def test_a_probe_that_needs_too_much_time_or_memory_is_ended(tmp_path: Path) -> None:
    probed = "import submission.checking.probe as p"
    loop = probed + "; p.look_at_pdf = lambda path: [] if {} else None; p.main('pdf', 'x', '1')"
    busy = loop.format("any(False for _ in iter(int, 1))")
    done = subprocess.run([sys.executable, "-c", busy], capture_output=True, timeout=60, check=False)
    assert done.returncode < 0  # by a signal, after a second of processor time
    hungry = loop.format("bytearray(8 << 30)")
    done = subprocess.run([sys.executable, "-c", hungry], capture_output=True, timeout=60, check=False)
    assert json.loads(done.stdout) == {"error": "MemoryError"}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        mp4()[:2000],
        b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
    ],
)
def test_videos_that_cannot_be_played(tmp_path: Path, content: bytes) -> None:
    files = gravitar_files()
    files[video_of(files)] = content
    found = findings(tmp_path, files, "fault")
    assert len(found) == 1 and "cannot be played" in found[0]
    assert "root:" not in found[0]


def test_a_video_of_a_moment(tmp_path: Path) -> None:
    files = gravitar_files()
    files[video_of(files)] = mp4(30)
    assert "is very short or small: 0.5 s, 320x420 pixels, 30 frames" in findings(tmp_path, files, "warning")[0]


@pytest.mark.parametrize(
    ("code", "wrong"),
    [
        (notebook("import torch"), "has no credits at its top"),
        (b"", "is empty"),
        (b"{}", "is not a notebook"),
        (b"[" * 100_000, "is not a notebook"),
        (b'{"cells": [1, 2]}', "is not a notebook"),
        (
            notebook("# Credits: PPO\nprint('marking, episode: {}, score: {}')"),
            "prints the 'marking' line in another format",
        ),
        (notebook("# Credits: PPO"), "prints no 'marking' line"),
    ],
)
def test_code(tmp_path: Path, code: bytes, wrong: str) -> None:
    assert any(wrong in one for one in findings(tmp_path, {**gravitar_files(), AGENT_CODE: code}))


def test_steps_of_an_episode(tmp_path: Path) -> None:
    name = "part2-agent-code.py"
    assert f"fault: {name}: allows 3,000 steps an episode, more than 2,000" in findings(
        tmp_path, {**walker_files(), name: b"# based on TD3\nmax_steps = 3_000\n"}
    )
    assert any(
        "does not say the most steps" in one for one in findings(tmp_path, {**walker_files(), name: b"# credits: x"})
    )


def test_nothing_in_a_submission_is_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    evil = f"# Credits: none needed\nopen({str(mark)!r}, 'w')\n".encode()
    files = {
        **gravitar_files(),
        CODE: notebook(evil.decode()),
        "conftest.py": evil,
        "sitecustomize.py": evil,
        "av.py": evil,
    }
    folder = tmp_path / "folder"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    before = Path.cwd()
    os.chdir(folder)
    try:
        check_submission(folder)
    finally:
        os.chdir(before)
    assert not mark.exists()


def test_text_json_and_exit_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commands: Commands = {"check": (CheckSettings, check), "other": (CheckSettings, check)}
    good = write_zip(tmp_path / "good.zip", gravitar_files())
    assert run_cli(commands, ["check", str(good)]) == 0
    assert "(edition 2020): 0 faults, 0 warnings" in capsys.readouterr().out
    bad = write_zip(tmp_path / "bad.zip", {LOG: b"x"})
    assert run_cli(commands, ["check", str(bad), "--json"]) == 1
    captured = capsys.readouterr()
    content = json.loads(captured.out)
    assert content["edition"] == 2020
    assert {"level": "fault", "where": PAPER, "message": "is missing"} in content["findings"]
    assert captured.err == f"error: {bad} has 5 faults\n"
    assert run_cli(commands, ["check", str(tmp_path / "nothing.zip")]) == 2
    assert run_cli(commands, ["check", str(good), "--edition", "2019"]) == 2
    assert "there are 2020 and 2021" in capsys.readouterr().err


def test_terminal_codes_in_names_are_not_shown() -> None:
    assert "\x1b" not in str(Finding("note", "a\x1b[2Jb", "c\nd"))


def test_a_log_alone(tmp_path: Path) -> None:
    path = tmp_path / "any-name"
    path.write_text(walker_log(walker_rewards(600)))
    report = check_submission(path)
    assert report.edition is EDITIONS[2021] and report.findings == []
