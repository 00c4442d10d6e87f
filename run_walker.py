"""BipedalWalker: train, resume, evaluate, replay and inspect agents that learn to walk.

    python run_walker.py train --name first
    python run_walker.py train --algo tqc --hardcore
    python run_walker.py resume runs/walker/first
    python run_walker.py evaluate runs/walker/first
    python run_walker.py replay runs/walker/first --best
    python run_walker.py replay runs/walker/first --verify
    python run_walker.py watch runs/walker/first
    python run_walker.py pack runs/walker/first results/walker/first
    python run_walker.py inspect runs/walker/first
    python run_walker.py table runs/walker/crossq-42 runs/walker/crossq-43 runs/walker/tqc-42

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
    from rl.commands.walker_options import TableSettings, WalkerTrainSettings
    from rl.options import (
        EvaluateSettings,
        InspectSettings,
        PackSettings,
        ReplaySettings,
        ResumeSettings,
        WatchSettings,
    )

    return run_cli(
        {
            "train": (WalkerTrainSettings, "rl.commands.walker:train_walker"),
            "resume": (ResumeSettings, "rl.train:resume"),
            "evaluate": (EvaluateSettings, "rl.evaluate:evaluate"),
            "replay": (ReplaySettings, "rl.replay:replay"),
            "watch": (WatchSettings, "rl.commands.watch:watch"),
            "pack": (PackSettings, "rl.commands.pack:pack"),
            "table": (TableSettings, "rl.commands.sample_efficiency:table"),
            "inspect": (InspectSettings, "rl.commands.inspect_runs:inspect"),
        },
        about=__doc__,
    )


if __name__ == "__main__":
    sys.exit(main())
