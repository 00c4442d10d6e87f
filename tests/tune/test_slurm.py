"""A real SLURM of one node: an array of workers, and trainings that go back into the queue and are resumed."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.cli import run_cli
from common.errors import UserError
from common.launch import LaunchSettings, array_job_lives, check_launch, submit
from rl.options import TrainSettings
from rl.replicates import train_or_launch
from tests import forked_runs, slurm_cluster
from tests.forked_runs import ROOT, forked_python
from tests.slurm_cluster import SlurmCluster
from tests.tune.made_task import MadeStudy
from tune.plan import tally
from tune.search import open_study
from tune.storage import open_url

TRAIN = ["train", "--preset", "smoke", "--timesteps", "4096", "--video-every", "0", "--checkpoint-every", "512"]
pytestmark = pytest.mark.skipif(slurm_cluster.missing() is not None, reason=str(slurm_cluster.missing()))


@pytest.fixture(scope="module")
def cluster() -> Iterator[SlurmCluster]:
    """A cluster whose commands work in this process and in those that it starts."""
    before = os.environ.get("SLURM_CONF")
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder, slurm_cluster.slurm_cluster(Path(folder)) as running:
        os.environ["SLURM_CONF"] = running.environment["SLURM_CONF"]
        os.environ["OMP_NUM_THREADS"] = "1"
        yield running
    os.environ.pop("SLURM_CONF")
    if before is not None:
        os.environ["SLURM_CONF"] = before


def logs(folder: Path) -> str:
    """The output of a job's tasks."""
    return "\n".join(f"{path.name}: {path.read_text()}" for path in sorted(folder.rglob("*.log")))


def test_an_array_of_two_workers_finishes_a_study(cluster: SlurmCluster, tmp_path: Path) -> None:
    storage = str(tmp_path / "journal.log")
    settings = MadeStudy(name="s", trials=8, seeds=1, pause=0.1, sampler="random", storage=storage, runs=str(tmp_path))
    study = open_study(settings, open_url(storage))
    command = [sys.executable, str(ROOT / "tests/tune/made_worker.py"), "s", "--storage", storage]
    job = submit("s", {"0": command, "1": command}, tmp_path / "a folder", LaunchSettings("slurm", time="10"))
    cluster.wait_until(lambda: not array_job_lives(job), "the job does not end", seconds=300)
    assert set(cluster.jobs().values()) == {"COMPLETED"}, logs(tmp_path)
    assert tally(study, settings.retries).complete == 8
    assert "nothing is left to do in s" in (tmp_path / "a folder" / "task-1.log").read_text()


def test_a_search_on_slurm_trains_its_trials(cluster: SlurmCluster, tmp_path: Path) -> None:
    tiny = ["--seeds", "1", "--steps", "2048", "--n-envs", "4", "--set", "n_steps=64", "batch_size=128", "n_epochs=1"]
    space = ["--search", "learning_rate", "--pruner", "none", "--last", "1.0", "--sampler", "random"]
    where = ["--launcher", "slurm", "--workers", "2", "--time", "30", "--name", "s"]
    # It and its workers are forks; the cluster sees the processes that stand in for them.
    command = [forked_python(), "-m", "tune", "gravitar", "--trials", "2", *tiny, *space, *where]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=400, check=False
    )
    folder = tmp_path / "runs" / "tune" / "s"
    assert done.returncode == 0, done.stderr + logs(folder)
    assert "2 workers" in done.stdout and "2/2 trials" in done.stderr
    for trial in ("trial-0000", "trial-0001"):
        assert (folder / "trials" / trial / "seed-0" / "checkpoints" / "step-000002048").is_dir()
    assert not list(tmp_path.rglob("*.pkl")) + list(tmp_path.rglob("*.pickle"))


def test_trainings_go_back_into_the_queue_and_are_resumed_as_if_nothing_had_happened(
    cluster: SlurmCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Its tasks are forks, too; the cluster sees what stands in for them. A task that is python itself is above.
    monkeypatch.setattr(sys, "executable", forked_python())
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(tmp_path)
    command = [*TRAIN, "--name", "a", "--array-seeds", "2", "--launcher", "slurm", "--time", "30"]
    assert run_cli({"train": (TrainSettings, train_or_launch)}, command) == 0
    job = capsys.readouterr().out.split()[2].rstrip(",")
    run = tmp_path / "runs" / "gravitar" / "a-742"
    cluster.wait_until((run / "checkpoints" / "step-000000512").exists, "no training", seconds=300)
    cluster.run("scancel", "--signal=USR1", f"{job}_0")  # what SLURM sends before the time limit
    cluster.wait_until(lambda: cluster.jobs().get(f"{job}_0") == "PENDING", "it was not requeued", seconds=120)
    time.sleep(3)  # the node does not take the same job twice in a second
    cluster.run("scontrol", "update", f"JobId={job}_0", "StartTime=now")  # instead of two minutes from now
    cluster.wait_until(lambda: not array_job_lives(job), "the job does not end", seconds=400)
    output = logs(tmp_path / "runs" / "jobs")
    assert {cluster.jobs()[f"{job}_{task}"] for task in (0, 1)} == {"COMPLETED"}, output
    assert "SIGUSR1: finishing this update, then saving" in output and "resuming runs/gravitar/a-742 at" in output

    local = [*TRAIN, "--name", "a", "--array-seeds", "2", "--launcher", "local", "--runs", "undisturbed"]
    done = forked_runs.run("run_gravitar.py", *local, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    for name in ("a-742", "a-743"):
        undisturbed = tmp_path / "undisturbed" / "gravitar" / name
        for file in ("gravitar-log.txt", "traces/episodes.jsonl"):
            assert (tmp_path / "runs/gravitar" / name / file).read_bytes() == (undisturbed / file).read_bytes()
        weights = sorted(undisturbed.glob("checkpoints/step-*/policy.safetensors"))[-1]
        assert "step-000004096" in str(weights)
        again = tmp_path / "runs/gravitar" / name / weights.relative_to(undisturbed)
        assert again.read_bytes() == weights.read_bytes()


TASK = """
import signal, sys, time
from pathlib import Path

mark = Path(sys.argv[1])
if mark.exists():
    sys.exit(0)

def save(number, frame):
    mark.write_text(str(number))
    sys.exit(128 + number)

for number in (signal.SIGTERM, signal.SIGUSR1):
    signal.signal(number, save)
mark.with_suffix(".began").touch()
time.sleep(600)
"""


def quick_task(cluster: SlurmCluster, folder: Path, settings: LaunchSettings) -> tuple[str, Path]:
    """A job that waits for a signal, and is done when it is started again."""
    script, mark = folder / "task.py", folder / "mark"
    script.write_text(TASK)
    job = submit("quick", {"0": ["python3", str(script), str(mark)]}, folder, settings)
    cluster.wait_until(mark.with_suffix(".began").exists, "it does not begin", seconds=120)
    return job, mark


def test_a_task_that_is_cancelled_stays_cancelled(cluster: SlurmCluster, tmp_path: Path) -> None:
    job, mark = quick_task(cluster, tmp_path, LaunchSettings("slurm"))
    cluster.run("scancel", job)
    cluster.wait_until(lambda: cluster.jobs().get(f"{job}_0") == "CANCELLED", "it is not cancelled")
    time.sleep(2)
    assert cluster.jobs()[f"{job}_0"] == "CANCELLED" and mark.read_text() == "15"


def test_a_task_that_is_pre_empted_saves_and_comes_back(cluster: SlurmCluster, tmp_path: Path) -> None:
    job, mark = quick_task(cluster, tmp_path, LaunchSettings("slurm"))
    urgent = ["sbatch", "--parsable", "--partition=urgent", "--exclusive", "--output=/dev/null", "--wrap=sleep 4"]
    assert cluster.run(*urgent)
    cluster.wait_until(lambda: cluster.jobs().get(f"{job}_0") == "PENDING", "it was not requeued")
    assert mark.read_text() == "15"
    time.sleep(3)
    cluster.run("scontrol", "update", f"JobId={job}_0", "StartTime=now")
    cluster.wait_until(lambda: cluster.jobs().get(f"{job}_0") == "COMPLETED", "it did not come back")


@pytest.mark.slow
def test_a_task_saves_before_its_time_limit_and_comes_back_by_itself(cluster: SlurmCluster, tmp_path: Path) -> None:
    job, mark = quick_task(cluster, tmp_path, LaunchSettings("slurm", time="1", warn_seconds=45))
    cluster.wait_until(lambda: cluster.jobs().get(f"{job}_0") == "COMPLETED", "it did not come back", seconds=300)
    assert mark.read_text() == "10"


def test_what_slurm_refuses_is_one_line(cluster: SlurmCluster, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"SLURM refuses the job none: .*Invalid partition") as caught:
        submit("none", {"0": ["true"]}, tmp_path, LaunchSettings("slurm", partition="nowhere"))
    assert caught.value.status == 1 and (tmp_path / "job.sh").exists()  # the folder was there before
    check_launch(LaunchSettings("slurm"))
