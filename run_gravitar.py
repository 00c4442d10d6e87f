"""Gravitar: train, resume, evaluate, replay and inspect agents; explore the game.

    python run_gravitar.py train --preset demo --name first
    python run_gravitar.py resume runs/gravitar/first
    python run_gravitar.py explore --timesteps 2000000
    python run_gravitar.py evaluate runs/gravitar/first
    python run_gravitar.py replay runs/gravitar/first --best
    python run_gravitar.py inspect runs/gravitar/first
    python run_gravitar.py tune --trials 30 --workers 2

Credits: tyro for the command line; see the files in rl/ for what each command builds on.
"""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line.

    :return: exit status
    """
    # Imported here, because worker processes import this file and need none of it.
    from common.cli import run_cli
    from rl.commands.export import ExportSettings, export
    from rl.evaluate import EvaluateSettings, evaluate
    from rl.explore import ExploreSettings, explore
    from rl.inspect_runs import InspectSettings, inspect
    from rl.pack import PackSettings, pack
    from rl.replay import ReplaySettings, replay
    from rl.replicates import train_or_launch
    from rl.settings import TrainSettings
    from rl.train import ResumeSettings, resume
    from rl.watch import WatchSettings, watch
    from tune.commands import GravitarCommand, search

    return run_cli(
        {
            "train": (TrainSettings, train_or_launch),
            "resume": (ResumeSettings, resume),
            "explore": (ExploreSettings, explore),
            "evaluate": (EvaluateSettings, evaluate),
            "replay": (ReplaySettings, replay),
            "watch": (WatchSettings, watch),
            "pack": (PackSettings, pack),
            "export": (ExportSettings, export),
            "inspect": (InspectSettings, inspect),
            "tune": (GravitarCommand, search),
        }
    )


if __name__ == "__main__":
    sys.exit(main())
