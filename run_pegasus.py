"""Pegasus: train a diffusion model from scratch, resume it, and sample images that no data set has.

    python run_pegasus.py train --preset sprites --name first
    python run_pegasus.py train --model dcgan --preset sprites --name rival
    python run_pegasus.py resume runs/pegasus/first
    python run_pegasus.py sample runs/pegasus/first --weights horse=2,spread=3.5
    python run_pegasus.py figures runs/pegasus/first --weights horse=2,spread=3.5
    python run_pegasus.py prove runs/pegasus/first
    python run_pegasus.py judge runs/pegasus/first --weights horse=2,spread=3.5
    python run_pegasus.py present runs/pegasus/first --edition 2021
    python run_pegasus.py serve runs/pegasus/first
    python run_pegasus.py label --attribute spread --data cifar10 --classes bird
    python run_pegasus.py stylise video.mp4 --style painting.jpg
    python run_pegasus.py export runs/pegasus/first exported
    python run_pegasus.py pack runs/pegasus/first packed
    python run_pegasus.py colourise train --name colours

Credits: tyro for the command line; see the files in gen_models/ for what each command builds on.
"""

from __future__ import annotations

import sys

COLOURISE = """Train a network that colours grey pictures, colour pictures with it, and measure how well it does.

    python run_pegasus.py colourise train --data stl10 --name colours
    python run_pegasus.py resume runs/pegasus/colours
    python run_pegasus.py colourise apply runs/pegasus/colours old.jpg album/
    python run_pegasus.py colourise apply runs/pegasus/colours old.jpg --style sunset.jpg
    python run_pegasus.py colourise measure runs/pegasus/colours runs/pegasus/no-globals
"""


def main() -> int:
    """Run the command line.

    :return: exit status
    """
    # Imported here, because processes that this one starts import this file and need none of it.
    from common.cli import Group, run_cli
    from gen_models.colourisation.options import ApplySettings, ColouriseTrainSettings, MeasureSettings
    from gen_models.labelling.options import LabelSettings
    from gen_models.options import (
        ExportSettings,
        FiguresSettings,
        JudgeSettings,
        PackSettings,
        ProveSettings,
        ResumeSettings,
        SampleSettings,
        ServeSettings,
        TrainSettings,
    )
    from gen_models.style.options import StyliseSettings
    from submission.options import PresentSettings

    colourise = Group(
        {
            "train": (ColouriseTrainSettings, "gen_models.colourisation.trainer:train"),
            "apply": (ApplySettings, "gen_models.commands.colourise:apply"),
            "measure": (MeasureSettings, "gen_models.commands.colourise:measure"),
        },
        summary="Colour grey pictures: train, apply and measure.",
        about=COLOURISE,
    )
    return run_cli(
        {
            "train": (TrainSettings, "gen_models.commands.train:train"),
            "resume": (ResumeSettings, "gen_models.commands.train:resume"),
            "sample": (SampleSettings, "gen_models.commands.sample:sample"),
            "figures": (FiguresSettings, "gen_models.commands.figures:figures"),
            "prove": (ProveSettings, "gen_models.commands.prove:prove"),
            "judge": (JudgeSettings, "gen_models.commands.judge:judge"),
            "pack": (PackSettings, "gen_models.commands.pack:pack"),
            "present": (PresentSettings, "submission.present:present"),
            "export": (ExportSettings, "gen_models.commands.export:export"),
            "stylise": (StyliseSettings, "gen_models.commands.stylise:stylise"),
            "serve": (ServeSettings, "gen_models.commands.serve:serve"),
            "label": (LabelSettings, "gen_models.commands.label:label"),
        },
        about=__doc__,
        groups={"colourise": colourise},
    )


if __name__ == "__main__":
    sys.exit(main())
