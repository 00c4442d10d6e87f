"""Hyperparameter searches with Optuna that can be interrupted, and whose best trials are confirmed with new seeds.

    python -m tune gravitar --algo ppo --obs ram --trials 30 --workers 2
    python -m tune pegasus runs/pegasus/first --trials 30
    python -m tune worker runs/tune/ppo-ram-742
    python -m tune report runs/tune/ppo-ram-742
    python -m tune confirm runs/tune/ppo-ram-742
    python -m tune export runs/tune/ppo-ram-742

Credits: tyro for the command line; see the files in tune/ for what each command builds on.
"""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line.

    :return: exit status
    """
    # Imported here, because worker processes import this file and need none of it.
    from common.cli import run_cli
    from tune.options import (
        ConfirmSettings,
        ExportSettings,
        GravitarCommand,
        PegasusCommand,
        ReportSettings,
        WorkerSettings,
    )

    return run_cli(
        {
            "gravitar": (GravitarCommand, "tune.commands:search"),
            "pegasus": (PegasusCommand, "tune.commands:search"),
            "worker": (WorkerSettings, "tune.workers:work"),
            "report": (ReportSettings, "tune.report:report"),
            "confirm": (ConfirmSettings, "tune.confirmation:confirm"),
            "export": (ExportSettings, "tune.export:export"),
        },
        about=__doc__,
        program="python -m tune",
    )


if __name__ == "__main__":
    sys.exit(main())
