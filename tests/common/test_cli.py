"""The command line's parser and reporter: exit statuses, one line for an error, tracebacks only on demand.

Credits: tyro, whose messages are turned into one line.
"""

from __future__ import annotations

import io
import itertools
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tyro.conf import Positional

from common.cli import Commands, Group, arguments_of, run_cli
from common.errors import UserError
from common.extras import EXTRAS
from common.options import Command
from tests.forked_runs import ROOT, forked_python


@dataclass(frozen=True)
class Train:
    """Train something."""

    steps: int = 10
    """Steps to do."""
    algo: Literal["ppo", "dqn"] = "ppo"
    """Algorithm."""
    runs: Path = Path("runs")
    """Where."""
    set: tuple[str, ...] = ()
    """Settings."""
    sticky: float | None = None
    """A probability."""
    fail: str = ""
    """How to fail."""
    debug: bool = False
    """Show a traceback."""


@dataclass(frozen=True)
class Show:
    """Show a run."""

    run: Positional[Path]
    """The run folder."""
    debug: bool = False
    """Show a traceback."""


def train(user: Train) -> None:
    print(f"{user.steps} {user.algo} {user.runs} {user.set} {user.sticky}")
    if user.fail == "user":
        raise UserError("the file is no\nfile; choose   another")
    if user.fail == "run":
        raise UserError("the disk is full; make room", status=1)
    if user.fail == "bug":
        raise ValueError("something\nunexpected in three\nlines")
    if user.fail == "silent":
        raise RuntimeError
    if user.fail == "interrupt":
        raise KeyboardInterrupt
    if user.fail == "memory":
        raise MemoryError
    if user.fail == "pipe":
        raise BrokenPipeError


def show(user: Show) -> None:
    print(user.run)


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """The run."""

    steps: int | None = None
    """Steps to do, of which there may be any number, so that this text has two lines in its docstring. Default: the
    preset's."""
    name: str = "first"
    """Name of the run."""


@dataclass(frozen=True, kw_only=True)
class MachineOptions:
    """What computes."""

    threads: tuple[int, ...] = ()
    """Threads, whose number is said at length, so that this text has more than one line on every terminal."""


@dataclass(frozen=True)
class Nested:
    """Where it is launched."""

    launcher: str = "here"
    """Launcher."""


@dataclass(frozen=True, kw_only=True)
class Grouped(RunOptions, MachineOptions, Command):
    """Do something with options, many of them, which is said in a line of its own that no narrow terminal holds."""

    launch: Nested = field(default_factory=Nested)


def compute(user: Grouped) -> None:
    print(user)


ABOUT = """Programs: a first line that is as long as a first line may be, and by far too long for a narrow terminal.

    python program.py train --steps 3
    python program.py grouped --threads 1
    python program.py grouped --name retrained --threads 2

Credits: nobody.
"""
COMMANDS: Commands = {"train": (Train, train), "show": (Show, show), "grouped": (Grouped, f"{__name__}:compute")}


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """``cli(*arguments)`` gives exit status, standard output and standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        status = run_cli(COMMANDS, arguments)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def assert_one_line(error: str) -> None:
    assert error.startswith("error: ") and error.count("\n") == 1 and error.endswith("\n")
    assert not re.search("[─-╿\x1b]|-{4}", error)  # no boxes, neither drawn nor of dashes, no colours
    assert "Traceback" not in error


def test_settings_arrive(cli: Callable[..., tuple[int, str, str]]) -> None:
    assert cli("train") == (0, "10 ppo runs () None\n", "")
    assert cli("train", "--steps", "3", "--algo", "dqn", "--runs", "a/b", "--sticky", "0") == (
        0,
        "3 dqn a/b () 0.0\n",
        "",
    )
    assert cli("train", "--set", "a=1", "b=dict(c=[2])") == (0, "10 ppo runs ('a=1', 'b=dict(c=[2])') None\n", "")
    assert cli("show", "runs/gravitar/first") == (0, "runs/gravitar/first\n", "")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["train", "--stepps", "3"], "--stepps"),
        (["train", "--a-very-long-option-that-no-terminal-shows-in-one-line-because-it-is-too-long-for-it"],
         "--a-very-long-option-that-no-terminal-shows-in-one-line-because-it-is-too-long-for-it"),
        (["train", "--steps", "many"], "many"),
        (["train", "--steps", "1.5"], "1.5"),
        (["train", "--steps"], "--steps"),
        (["train", "--algo", "sac"], "sac"),
        (["train", "--sticky", "often"], "often"),
        (["train", "extra"], "extra"),
        (["trian"], "trian"),
        (["show"], "The run folder."),
        (["show", "a", "b"], "b"),
        ([], "train"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("columns", ["40", "200"])
def test_bad_arguments_are_one_line_with_status_2(
    cli: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    named: str,
    columns: str,
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    status, output, error = cli(*arguments)
    assert status == 2 and output == ""
    assert_one_line(error)
    assert named in error


def test_a_misspelt_option_names_the_nearest(cli: Callable[..., tuple[int, str, str]]) -> None:
    assert "--steps" in cli("train", "--stepps", "3")[2]


@pytest.mark.parametrize(
    ("fail", "status", "message"),
    [
        ("user", 2, "error: the file is no file; choose another\n"),
        ("run", 1, "error: the disk is full; make room\n"),
    ],
)
def test_users_errors_are_one_line(
    cli: Callable[..., tuple[int, str, str]], fail: str, status: int, message: str
) -> None:
    assert cli("train", "--fail", fail) == (status, "10 ppo runs () None\n", message)


def test_other_errors_are_one_line_that_says_where(cli: Callable[..., tuple[int, str, str]]) -> None:
    status, _, error = cli("train", "--fail", "bug")
    assert status == 1
    assert_one_line(error)
    assert error.startswith("error: ValueError: something (")
    lines = Path(__file__).read_text().splitlines()
    raised = next(number for number, line in enumerate(lines, start=1) if "raise ValueError" in line)
    assert f"{__file__}, line {raised}" in error and "--debug" in error
    status, _, error = cli("train", "--fail", "silent")
    assert status == 1
    assert_one_line(error)
    assert "RuntimeError" in error


@pytest.mark.parametrize(
    ("fail", "status", "name"), [("user", 2, "UserError"), ("run", 1, "UserError"), ("bug", 1, "ValueError")]
)
def test_a_traceback_on_demand(cli: Callable[..., tuple[int, str, str]], fail: str, status: int, name: str) -> None:
    found, _, error = cli("train", "--fail", fail, "--debug")
    assert found == status
    assert error.startswith("Traceback (most recent call last):") and name in error and "in train" in error


def test_ctrl_c_is_status_130(cli: Callable[..., tuple[int, str, str]]) -> None:
    status, _, error = cli("train", "--fail", "interrupt")
    assert status == 130 and error.count("\n") == 1 and "Traceback" not in error


def test_a_reader_that_has_seen_enough_is_no_failure(cli: Callable[..., tuple[int, str, str]]) -> None:
    assert cli("train", "--fail", "pipe") == (0, "10 ppo runs () None\n", "")


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"]])
def test_help_is_status_0(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        run_cli(COMMANDS, arguments)
    assert stop.value.code in (0, None)
    captured = capsys.readouterr()
    assert captured.err == "" and "Train something." in captured.out
    if "train" in arguments:
        assert "--steps" in captured.out and "Steps to do." in captured.out


def helped(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit):
        run_cli(COMMANDS, arguments, ABOUT, "python program.py")
    return capsys.readouterr().out


@pytest.mark.parametrize("columns", [40, 80, 130])
@pytest.mark.parametrize("arguments", [["--help"], ["train", "-h"], ["grouped", "--help"]])
def test_help_is_as_wide_as_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int, arguments: list[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = helped(capsys, *arguments).splitlines()
    assert len(lines) > 10
    assert max(len(line) for line in lines if not line.startswith("    python")) <= columns


@pytest.mark.parametrize("columns", [40, 60, 80, 100])
def test_lines_of_help_are_full(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    """No line ends where the next word would have had room, whatever the lines of docstrings are."""
    monkeypatch.setenv("COLUMNS", str(columns))
    rows = [line[2:-2].rstrip() for line in helped(capsys, "grouped", "--help").splitlines() if line.startswith("│")]
    followed = [(row, after) for row, after in itertools.pairwise(rows) if after.startswith("    ")]
    assert len(followed) >= 3
    for row, after in followed:
        flag = row.startswith("-") and "  " not in row  # one that leaves no room for words beside it
        assert flag or len(row) + 1 + len(after.split()[0]) > columns - 4, (row, after)


def test_help_begins_with_examples(capsys: pytest.CaptureFixture[str]) -> None:
    text = helped(capsys, "grouped", "--help")
    assert text.splitlines()[:2] == [
        "    python program.py grouped --threads 1",
        "    python program.py grouped --name retrained --threads 2",
    ]
    assert "--steps 3" not in text
    text = helped(capsys, "--help")
    assert text.startswith("Programs: a first line") and "train --steps 3" in text
    assert text.index("--name retrained") < text.index("usage: python program.py")
    assert "Credits" not in text and "nobody" not in text


def test_inherited_options_are_groups(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = helped(capsys, "grouped", "--help").partition("usage")[2]
    places = [text.index(words) for words in (
        "Do something with options", " options ", "--debug", " run options ", "The run.", "--steps INT", "--name STR",
        " machine options ", "What computes.", "--threads", " launch options ", "--launcher",
    )]  # fmt: skip
    assert places == sorted(places)
    # A default of None is said by the option's own words.
    assert "its docstring. Default: the preset's." in " ".join(text.replace("│", " ").split())
    assert "(default: first)" in text
    assert "None" not in text and "(default: )" not in text


def test_grouped_settings_arrive(cli: Callable[..., tuple[int, str, str]]) -> None:
    user = Grouped(steps=3, name="b", threads=(1, 2), debug=True, launch=Nested("there"))
    assert cli("grouped", *arguments_of(user), "--launcher", "there") == (0, f"{user}\n", "")
    assert cli("grouped") == (0, f"{Grouped()}\n", "")
    assert_one_line(cli("grouped", "--step", "3")[2])


def test_a_missing_library_of_an_extra_is_named_with_the_extra(capsys: pytest.CaptureFixture[str]) -> None:
    def page(_: Train) -> None:
        raise ModuleNotFoundError("No module named 'gradio.themes'", name="gradio.themes")

    assert run_cli({"train": (Train, page), "other": (Train, page)}, ["train"]) == 1
    expected = "error: this needs gradio, which is not installed: pip install 'gravitar-pegasus[page]'\n"
    assert capsys.readouterr().err == expected


def test_trainings_and_searches_need_no_extra(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        "import sys\n"
        f"extras = dict.fromkeys({list(EXTRAS)})\n"
        "assert {'rl.train', 'gen_models.training.loop'} < set(sys.modules)\n"
        "assert not extras.keys() & set(sys.modules)\n"  # what has been imported so far did without them
        "sys.modules |= extras\n"
        "import rl.train, rl.commands.watch, gen_models.training.loop, gen_models.commands.sample, tune.search\n"
    )
    subprocess.run([forked_python(), str(tmp_path / "program.py")], check=True, cwd=ROOT)


@pytest.mark.parametrize(
    ("program", "arguments", "library"),
    [("run_pegasus.py", ("serve", "none"), "gradio"), ("run_pegasus.py", ("judge", "none"), "torchmetrics")],
)
def test_commands_say_what_to_install(tmp_path: Path, program: str, arguments: tuple[str, ...], library: str) -> None:
    (tmp_path / "program.py").write_text(
        "import runpy, sys\n"
        f"sys.modules[{library!r}] = None\n"
        f"sys.argv = {[program, *arguments]}\n"
        f"runpy.run_path({program!r}, run_name='__main__')\n"
    )
    command = [forked_python(), str(tmp_path / "program.py")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == (
        f"error: this needs {library}, which is not installed: pip install 'gravitar-pegasus[{EXTRAS[library]}]'\n"
    )


@pytest.mark.parametrize(
    ("arguments", "where"),
    [
        (["train", "--algo", ""], "--algo"), (["train", "--runs", ""], "--runs"), (["train", "--runs="], "--runs"),
        (["train", "--set", "a=1", " "], "an argument"), (["show", ""], "an argument"),
    ],
)  # fmt: skip
def test_the_empty_text_is_not_taken_for_the_default(
    cli: Callable[..., tuple[int, str, str]], arguments: list[str], where: str
) -> None:
    assert cli(*arguments) == (2, "", f"error: {where} is empty; leave it out, or say something\n")


SLOW = """
import sys
said_before = sys.stderr.getvalue()

def compute(user):
    print(repr(said_before))
"""


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_says_that_libraries_are_loaded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "slow_module.py").write_text(SLOW)
    monkeypatch.syspath_prepend(str(tmp_path))
    commands: Commands = {"train": (Train, "slow_module:compute"), "show": (Show, show)}
    for before, after in (("loading libraries ...", "loading libraries ...\r\x1b[K"), ("loading libraries ...", "")):
        monkeypatch.setattr(sys, "stderr", Terminal())
        assert run_cli(commands, ["train"]) == 0
        assert capsys.readouterr().out == f"{before!r}\n"
        assert isinstance(sys.stderr, Terminal)
        assert sys.stderr.getvalue() == after  # the second time nothing has to be loaded
    monkeypatch.undo()
    sys.modules.pop("slow_module")


def test_whole_numbers_may_be_written_with_an_exponent(cli: Callable[..., tuple[int, str, str]]) -> None:
    assert cli("train", "--steps", "1e3", "--runs", "1e3")[1].startswith("1000 ppo 1e3 ")
    assert cli("train", "--steps", "2.5e1", "--sticky", "1e-1")[1].startswith("25 ppo runs () 0.1")
    assert "threads=(1000, 20)" in cli("grouped", "--threads", "1e3", "2e1", "--steps", "1E+6")[1]
    assert "steps=1000000" in cli("grouped", "--steps", "1E+6")[1]
    for odd in ("1.5e0", "1e-3", "1e999", "e5", "1e"):
        assert_one_line(cli("train", "--steps", odd)[2])


def test_a_lack_of_memory_is_one_line(cli: Callable[..., tuple[int, str, str]]) -> None:
    status, _, error = cli("train", "--fail", "memory")
    assert status == 1
    assert_one_line(error)
    assert "out of memory" in error


@given(st.lists(st.text(max_size=30), max_size=6))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nonsense_is_one_line_and_status_2(cli: Callable[..., tuple[int, str, str]], arguments: list[str]) -> None:
    try:
        status, _, error = cli("grouped", *arguments)
    except SystemExit as stop:  # --help, perhaps
        assert stop.code in (0, None)
        return
    assert (status, error) == (0, "") or status == 2
    if status == 2 and "--debug" not in arguments:
        assert error.startswith("error: ") and error.endswith("\n") and error[:-1].isprintable()


def test_signs_that_no_terminal_should_get_are_not_printed(cli: Callable[..., tuple[int, str, str]]) -> None:
    assert cli("train", "\x1b[2J") == (2, "", "error: Unrecognized options: ?[2J\n")


def test_groups_have_commands_and_help_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    about = "Things.\n\n    python program.py things show a b\n\nCredits: nobody."
    groups = {"things": Group({"show": COMMANDS["show"]}, "Commands about things.", about)}
    with pytest.raises(SystemExit):
        run_cli(COMMANDS, ["--help"], ABOUT, "python program.py", groups)
    text = capsys.readouterr().out
    assert "things" in text and "Commands about things." in text
    with pytest.raises(SystemExit):
        run_cli(COMMANDS, ["things", "--help"], ABOUT, "python program.py", groups)
    text = capsys.readouterr().out
    assert "usage: python program.py things" in text and "Things." in text and "train" not in text
    assert run_cli(COMMANDS, ["things", "train"], ABOUT, "python program.py", groups) == 2
    assert_one_line(capsys.readouterr().err)
