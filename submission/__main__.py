"""Submissions of the coursework: build and check them, and mark those of others.

    python -m submission build --edition 2020 --images runs/pegasus/cifar --agent runs/gravitar/first
    python -m submission check submission.zip
    python -m submission bonus runs/pegasus/cifar --edition 2020
    python -m submission audit gravitar-log.txt
    python -m submission mark submissions/
    python -m submission paper runs/pegasus/cifar --edition 2020
    python -m submission bundle runs/gravitar/first gravitar-code.ipynb

Credits: tyro for the command line.
"""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line.

    :return: exit status
    """
    from common.cli import run_cli
    from submission.options import (
        AuditSettings,
        BonusSettings,
        BuildSettings,
        BundleSettings,
        CheckSettings,
        MarkSettings,
        PaperSettings,
    )

    return run_cli(
        {
            "build": (BuildSettings, "submission.build:build"),
            "check": (CheckSettings, "submission.checking.check:check"),
            "bonus": (BonusSettings, "submission.bonus:bonus"),
            "paper": (PaperSettings, "submission.write_paper:paper"),
            "audit": (AuditSettings, "submission.audit.command:audit"),
            "mark": (MarkSettings, "submission.mark:mark"),
            "bundle": (BundleSettings, "submission.bundle:bundle"),
        },
        about=__doc__,
        program="python -m submission",
    )


if __name__ == "__main__":
    sys.exit(main())
