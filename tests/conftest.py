"""The order in which files of tests are handed to processes, the longest first, so that none is alone at the end; and
how long each file took.

Each file stays in one process (pytest-xdist's ``--dist loadfile``), since its tests share what its fixtures made.

Credits: pytest-xdist.
"""

from __future__ import annotations

from collections import defaultdict

import pytest

from tests.source_tree import ROOT

# Files that take longest, the longest first; ``make test`` prints at its end which they were.
LONGEST = (
    "test_resume.py", "submission/test_build.py", "test_notebooks.py", "gen_models/page/test_page.py",
    "tune/test_gravitar_task.py", "submission/test_bundle.py", "test_run_gravitar.py", "tune/test_slurm.py",
    "common/test_tracking.py", "bench/test_benchmarks.py", "callbacks/test_episode_video.py",
    "gen_models/training/test_loop.py", "gen_models/training/test_resume.py", "test_old_runs.py",
    "rl/commands/test_play.py", "test_wheel.py", "gen_models/classifiers/test_sprite_scorer.py",
    "rl/algorithms/test_activation_noise.py", "rl/commands/test_pack.py", "rl/test_replay.py", "rl/test_walker.py",
    "tune/test_workers.py", "rl/envs/test_atari_pixels.py", "submission/test_paper.py",
)  # fmt: skip


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of the longest files first; the others stay in their order."""
    places = {ROOT / "tests" / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(LONGEST)))


_seconds: dict[str, float] = defaultdict(float)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Add a test's time, or that of its fixtures, to its file's."""
    _seconds[report.location[0]] += report.duration


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which files took longest."""
    if len(_seconds) > 1:
        terminalreporter.section("slowest 10 files")
        for file in sorted(_seconds, key=lambda file: -_seconds[file])[:10]:
            terminalreporter.write_line(f"{_seconds[file]:.2f}s {file}")
