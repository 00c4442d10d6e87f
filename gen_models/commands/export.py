"""``run_pegasus.py export``: a run as a folder that diffusers loads, with a model card.

The UNet and the scheduler are diffusers' own. What the network has besides, embeddings of labels and the convolutions
that join patches, is in two short source files, which diffusers runs only where it is told to (``trust_remote_code``).

Credits: diffusers' pipelines; M. Mitchell et al. 2019 (arXiv 1810.03993) for model cards.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import diffusers
import torch

from common.checkpoints import choose_checkpoint, steps_of
from common.files import check_new_output, new_folder
from common.run_folder import RunFolder
from gen_models.diffusion.conditions import Vocabulary
from gen_models.diffusion.denoiser import Denoiser
from gen_models.diffusion.sampling import make_scheduler
from gen_models.exported.modeling_labels import Labels
from gen_models.options import ExportSettings
from gen_models.request import SampleRequest
from gen_models.training.settings import RunSettings
from gen_models.training.state import load_denoiser

SOURCES = Path(__file__).resolve().parent.parent / "exported"


def export(user: ExportSettings) -> None:
    """Write the folder: ``unet/``, ``scheduler/``, ``labels/``, ``pipeline.py`` and ``README.md``, the model card.

    :raises UserError: for a missing run or checkpoint, or an output that exists or cannot be written
    """
    run = RunFolder(user.run)
    checkpoint = choose_checkpoint(run.checkpoints, user.checkpoint)
    check_new_output(user.output)
    denoiser, vocabulary, noise, settings = load_denoiser(run, checkpoint, user.averaged)
    scheduler = make_scheduler(noise, SampleRequest())
    labels = labels_of_denoiser(denoiser, vocabulary)
    with new_folder(user.output) as folder:
        denoiser.unet.save_pretrained(folder / "unet")
        scheduler.save_pretrained(folder / "scheduler")
        labels.save_pretrained(folder / "labels")
        shutil.copyfile(SOURCES / "modeling_labels.py", folder / "labels" / "modeling_labels.py")
        shutil.copyfile(SOURCES / "pipeline.py", folder / "pipeline.py")
        index = {
            "_class_name": ["pipeline", "ComposedPipeline"],
            "_diffusers_version": diffusers.__version__,
            "unet": ["diffusers", "UNet2DModel"],
            "scheduler": ["diffusers", type(scheduler).__name__],
            "labels": ["modeling_labels", "Labels"],
        }
        (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")
        (folder / "README.md").write_text(model_card(settings, run, checkpoint, labels))
    print(f"{user.output}: a pipeline for diffusers, and README.md, the model card, which says how to use it")


def labels_of_denoiser(denoiser: Denoiser, vocabulary: Vocabulary) -> Labels:
    """The parts of a denoiser that diffusers' UNet lacks, with its weights."""
    words = {word: list(place) for word, place in vocabulary.words.items()}
    settings = denoiser.settings
    shape = (4 * settings.channels[0], settings.patch, settings.refinement, denoiser.planes)
    labels: Labels = Labels(words, list(denoiser.sizes), *shape)
    weights = {f"embeddings.{name}": value for name, value in denoiser.embeddings.state_dict().items()}
    if denoiser.refinement is not None:
        weights |= denoiser.refinement.state_dict()
    labels.load_state_dict({name: value.detach().to(torch.float32) for name, value in weights.items()})
    return labels


def model_card(settings: RunSettings, run: RunFolder, checkpoint: Path, labels: Labels) -> str:
    """The card in Markdown: what it is, how to use it, data, seed, what was measured, limits, licence."""
    learning, shape = settings.learning, settings.denoiser
    images = steps_of(checkpoint)
    known = ", ".join(f"`{word}`" for word in labels.words)
    first = next(iter(labels.words))
    return f"""---
library_name: diffusers
tags: [diffusion, unconditional-image-generation, compositional-generation]
license: mit
---

# {run.path.name}: {shape.size} x {shape.size} images of composed conditions

A denoiser trained from scratch on {images:,} images of {" and ".join(settings.data.specs)} (each counted as often as it
was seen), exported from `{run.path.name}/{checkpoint.name}`.

## Use

```python
from diffusers import DiffusionPipeline

pipeline = DiffusionPipeline.from_pretrained("FOLDER", custom_pipeline="FOLDER", trust_remote_code=True)
pipeline({{"{first}": 2.0}}, batch_size=4).images[0].save("image.png")
```

`trust_remote_code` runs `pipeline.py` and `labels/modeling_labels.py`, some hundred lines: read them first. Conditions
are words joined by `+`, with weights: {known}.

## Training

| | |
| --- | --- |
| data | {", ".join(settings.data.specs)}, classes {", ".join(settings.vocabulary.classes)} |
| attributes | {", ".join(settings.vocabulary.attributes) or "none"} |
| images, batch | {images:,}, {learning.batch_size} |
| learning rate | {learning.learning_rate:g}, warm-up and cosine |
| prediction, schedule | {settings.noise.prediction}, {settings.noise.schedule} |
| network | {shape.channels} channels, patches of {shape.patch}, {shape.layers} blocks at each resolution |
| seed | {settings.seed} |
| versions | {", ".join(f"{name} {version}" for name, version in settings.versions.items())} |

## Measured

{_metrics(run)}
## Limits

It knows what it was trained on, and nothing else. Compositions that were never seen together often fail: look at the
images, not at a single one that was chosen.

## Licence

MIT, for the weights. The data sets have terms of their own.
"""


def _metrics(run: RunFolder) -> str:
    tables = sorted(run.path.glob("*/metrics.md"))
    if not tables:
        return "Nothing was measured of this run; `run_pegasus.py judge` does.\n"
    return "\n".join(f"`{path.parent.name}`:\n\n{path.read_text().strip()}\n" for path in tables)
