"""``run_pegasus.py pack``: a small copy of a denoiser's run, with all that samples from it, to keep among results.

The copy is a run folder itself: ``sample``, ``figures``, ``serve`` and ``export`` take it. It has the averaged weights
of one checkpoint in bfloat16, in parts of at most 4 MB, and what ``prove`` and ``judge`` found. It cannot be resumed.

Credits: safetensors.
"""

from __future__ import annotations

import json
import shutil

from common.checkpoints import choose_checkpoint, steps_of, write_checkpoint
from common.errors import UserError
from common.files import check_new_output, new_folder
from common.run_folder import RunFolder
from common.weights import small_weights
from gen_models.adversarial.settings import is_adversarial
from gen_models.classifiers.attribute_table import TABLE
from gen_models.classifiers.hand_labels import LABELS
from gen_models.diffusion.layout import FILE as SILHOUETTES
from gen_models.options import PackSettings
from gen_models.training.settings import RunSettings
from gen_models.training.state import EMA, STATE

# Files of the run folder, where they are.
COPIED = (
    "settings.yml", "loss.csv", SILHOUETTES, TABLE, LABELS,
    "*/composition.md", "*/composition.json", "*/best.png", "judge/*/metrics.md", "judge/*/metrics.csv",
)  # fmt: skip
MOST_BYTES = 3_900_000  # of a file with weights


def pack(user: PackSettings) -> None:
    """Make the copy.

    :raises UserError: for a missing run or checkpoint, a DCGAN, or an output that exists or cannot be written
    """
    run = RunFolder(user.run)
    if is_adversarial(user.run):
        raise UserError(f"{user.run} is a DCGAN, which is for comparison only; pack a denoiser's run")
    RunSettings.from_yaml(run.settings)
    checkpoint = choose_checkpoint(run.checkpoints, user.checkpoint)
    check_new_output(user.output)
    with new_folder(user.output) as folder:
        for pattern in COPIED:
            for path in run.path.glob(pattern):
                (folder / path.relative_to(run.path)).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, folder / path.relative_to(run.path))
        state = {"images": steps_of(checkpoint), "packed_from": checkpoint.name}
        packed = RunFolder(folder)
        packed.checkpoints.mkdir()
        files = {**small_weights(checkpoint / EMA, MOST_BYTES), STATE: json.dumps(state).encode()}
        write_checkpoint(packed.checkpoints, checkpoint.name, files)
    size = sum(path.stat().st_size for path in user.output.rglob("*") if path.is_file())
    print(f"{user.output}: {size / 1e6:.1f} MB, {len(files) - 1} files of weights")
