"""Pegasus: train a diffusion model from scratch, go on with it, and draw with it what no data set has.

    python run_pegasus.py train --preset sprites --name first
    python run_pegasus.py resume runs/pegasus/first
    python run_pegasus.py sample runs/pegasus/first --weights horse=2,spread=3.5
    python run_pegasus.py prove runs/pegasus/first

Credits: tyro for the command line; see the files in gen_models/ for what each command builds on.
"""

from __future__ import annotations

import os
import sys

# torch's threads then sleep instead of spinning while they wait for one another, and often share the cores with others.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def main() -> int:
    """Run the command line.

    :return: exit status
    """
    # Imported here, because the variable above has to be set before torch is.
    from common.cli import run_cli
    from gen_models.composition_proof import ProveSettings, prove
    from gen_models.sample_command import SampleSettings, sample
    from gen_models.settings import TrainSettings
    from gen_models.training import ResumeSettings, resume, train

    return run_cli(
        {
            "train": (TrainSettings, train),
            "resume": (ResumeSettings, resume),
            "sample": (SampleSettings, sample),
            "prove": (ProveSettings, prove),
        }
    )


if __name__ == "__main__":
    sys.exit(main())
