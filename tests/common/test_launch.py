"""Commands started on this machine, and the script that SLURM gets; tests/tune/test_slurm.py hands it to a real one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from common.errors import Interrupted, UserError
from common.launch import LaunchSettings, Refused, array_script, check_launch, launch, run_local

LINGER = """
import sys, time
from pathlib import Path
folder = Path(sys.argv[1])
mine = folder / f"{sys.argv[2]}.on"
mine.touch()
time.sleep(0.3)
print(len(list(folder.glob("*.on"))))
mine.unlink()
"""


def test_at_most_so_many_at_a_time_and_all_of_them(tmp_path: Path) -> None:
    commands = {str(k): [sys.executable, "-c", LINGER, str(tmp_path), str(k)] for k in range(5)}
    assert run_local(commands, tmp_path / "logs", parallel=2) == []
    at_once = [int((tmp_path / "logs" / f"{k}.log").read_text()) for k in range(5)]
    assert max(at_once) <= 2


def test_those_that_fail_are_named_and_the_others_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commands = {"good": ["true"], "bad": ["sh", "-c", "echo why; exit 3"], "killed": ["sh", "-c", "kill -9 $$"]}
    with pytest.raises(UserError, match=r"2 of 3 failed \(bad, killed\)") as caught:
        launch("job", commands, tmp_path, LaunchSettings("local", parallel=1))
    assert caught.value.status == 1 and (tmp_path / "bad.log").read_text() == "why\n"
    output = capsys.readouterr().out
    assert "good: done" in output and "bad: failed with status 3" in output and "killed: killed by SIGKILL" in output


def test_a_signal_goes_on_to_those_that_run_and_no_other_is_started(tmp_path: Path) -> None:
    wait = "trap 'echo saved; exit 143' TERM; touch $0; while :; do sleep 0.05; done"
    commands = {name: ["bash", "-c", wait, str(tmp_path / name)] for name in ("one", "two", "three")}

    def stop_once_two_run() -> None:
        if all((tmp_path / name).exists() for name in ("one", "two")):
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted) as caught:
        run_local(commands, tmp_path / "logs", parallel=2, watch=stop_once_two_run)
    assert caught.value.status == 143
    assert {path.name: path.read_text() for path in (tmp_path / "logs").iterdir()} == {
        "one.log": "saved\n",
        "two.log": "saved\n",
    }
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_the_array_jobs_script_says_what_was_asked_for(tmp_path: Path) -> None:
    settings = LaunchSettings(
        "slurm", parallel=2, partition="gpu", time="4:00:00", memory="8G", cpus_per_task=4, gpus_per_task=1,
        warn_seconds=90, requeues=7, sbatch=("account=lab", "exclusive"),
    )  # fmt: skip
    commands = {"a": ["python", "-c", "print('it; is $HOME')"], "b": ["true"], "c": ["true"]}
    script = array_script("my-job", commands, tmp_path, settings)
    assert [line for line in script.splitlines() if line.startswith("#SBATCH")] == [
        "#SBATCH --job-name=my-job",
        "#SBATCH --array=0-2%2",
        f"#SBATCH --output={tmp_path}/task-%a.log",
        "#SBATCH --open-mode=append",
        "#SBATCH --ntasks=1",
        "#SBATCH --signal=USR1@90",
        "#SBATCH --partition=gpu",
        "#SBATCH --time=4:00:00",
        "#SBATCH --mem=8G",
        "#SBATCH --cpus-per-task=4",
        "#SBATCH --gpus-per-task=1",
        "#SBATCH --requeue",
        "#SBATCH --account=lab",
        "#SBATCH --exclusive",
    ]
    assert "((${SLURM_RESTART_COUNT:-0} < 7))" in script
    # The shell itself takes the command apart again as it was.
    line = next(line for line in script.splitlines() if line.startswith("0) srun "))
    shown = line.removeprefix("0) srun ").removesuffix(" ;;")
    words = subprocess.run(["bash", "-c", f"printf '%s\\n' {shown}"], capture_output=True, text=True, check=True).stdout
    assert words.splitlines() == commands["a"]
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (LaunchSettings("local", parallel=0), "--parallel must be at least 1"),
        (LaunchSettings("local", cpus_per_task=0), "--cpus-per-task"),
        (LaunchSettings("local", gpus_per_task=-1), "--gpus-per-task"),
        (LaunchSettings("local", time="4h"), "--time 4h"),
        (LaunchSettings("local", memory="8 GB"), "--memory 8 GB"),
        (LaunchSettings("local", sbatch=("account=a\n#SBATCH --x",)), "--sbatch"),
    ],
)
def test_a_setting_out_of_range_is_named(settings: LaunchSettings, words: str) -> None:
    with pytest.raises(UserError, match=words):
        check_launch(settings)


def test_slurm_that_is_not_installed_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="sbatch is not installed here") as caught:
        launch("job", {"0": ["true"]}, tmp_path / "logs", LaunchSettings("slurm"))
    assert caught.value.status == 2 and not (tmp_path / "logs").exists()


REFUSES = "#!/bin/sh\necho 'sbatch: error: Invalid account' >&2\nexit 1\n"


def test_a_job_that_slurm_refuses_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "sbatch").write_text(REFUSES)
    (tmp_path / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(Refused, match="SLURM refuses the job j: Invalid account") as caught:
        launch("j", {"0": ["true"]}, tmp_path / "runs" / "jobs" / "j", LaunchSettings("slurm"))
    assert caught.value.status == 1 and sorted(tmp_path.iterdir()) == before
