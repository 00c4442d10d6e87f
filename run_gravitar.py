"""Gravitar: train, resume, evaluate, replay and inspect agents; explore the game.

    python run_gravitar.py train --preset demo --name first
    python run_gravitar.py resume runs/gravitar/first
    python run_gravitar.py explore --timesteps 2000000
    python run_gravitar.py evaluate runs/gravitar/first
    python run_gravitar.py replay runs/gravitar/first --best
    python run_gravitar.py inspect runs/gravitar/first
    python run_gravitar.py watch results/gravitar/ppo-ram
    python run_gravitar.py play
    python run_gravitar.py export results/gravitar/ppo-ram exported
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
    from rl.options import (
        EvaluateSettings,
        ExploreSettings,
        ExportSettings,
        InspectSettings,
        PackSettings,
        PlaySettings,
        ReplaySettings,
        ResumeSettings,
        TrainSettings,
        WatchSettings,
    )
    from tune.options import GravitarCommand

    return run_cli(
        {
            "train": (TrainSettings, "rl.replicates:train_or_launch"),
            "resume": (ResumeSettings, "rl.train:resume"),
            "explore": (ExploreSettings, "rl.explore:explore"),
            "evaluate": (EvaluateSettings, "rl.evaluate:evaluate"),
            "replay": (ReplaySettings, "rl.replay:replay"),
            "watch": (WatchSettings, "rl.commands.watch:watch"),
            "play": (PlaySettings, "rl.commands.play:play"),
            "pack": (PackSettings, "rl.commands.pack:pack"),
            "export": (ExportSettings, "rl.commands.export:export"),
            "inspect": (InspectSettings, "rl.commands.inspect_runs:inspect"),
            "tune": (GravitarCommand, "tune.commands:search"),
        },
        about=__doc__,
    )


if __name__ == "__main__":
    sys.exit(main())
