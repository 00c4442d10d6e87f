"""Pong: train, resume, evaluate, replay and inspect agents, DQN as in a homework and of 2013 among them.

    python run_pong.py train --name first
    python run_pong.py train --preset homework --action-probabilities 0.3 0.6 0.1
    python run_pong.py train --preset dqn2013
    python run_pong.py resume runs/pong/first
    python run_pong.py evaluate runs/pong/first
    python run_pong.py replay runs/pong/first --best
    python run_pong.py inspect runs/pong/first
    python run_pong.py watch runs/pong/first

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
    from rl.commands.pong_options import PongTrainSettings
    from rl.options import (
        EvaluateSettings,
        ExportSettings,
        InspectSettings,
        PackSettings,
        ReplaySettings,
        ResumeSettings,
        WatchSettings,
    )

    return run_cli(
        {
            "train": (PongTrainSettings, "rl.commands.pong:train_pong"),
            "resume": (ResumeSettings, "rl.train:resume"),
            "evaluate": (EvaluateSettings, "rl.evaluate:evaluate"),
            "replay": (ReplaySettings, "rl.replay:replay"),
            "inspect": (InspectSettings, "rl.commands.inspect_runs:inspect"),
            "watch": (WatchSettings, "rl.commands.watch:watch"),
            "pack": (PackSettings, "rl.commands.pack:pack"),
            "export": (ExportSettings, "rl.commands.export:export"),
        },
        about=__doc__,
    )


if __name__ == "__main__":
    sys.exit(main())
