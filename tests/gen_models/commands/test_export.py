"""``export``: diffusers alone, in another process, samples the same images."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from common.errors import UserError
from gen_models.commands.export import export
from gen_models.diffusion.sampling import sample
from gen_models.options import ExportSettings
from gen_models.request import SampleRequest
from gen_models.training.state import load_denoiser
from tests.untrained_run import untrained_run

# Run where this project cannot be imported.
PLAIN = """
import sys
import numpy as np
import torch
from diffusers import DiffusionPipeline, UNet2DModel

for patch in (1, 2):
    exported = f"exported-{patch}"
    UNet2DModel.from_pretrained(exported, subfolder="unet")
    pipeline = DiffusionPipeline.from_pretrained(exported, custom_pipeline=exported, trust_remote_code=True)
    weights = {"horse": 2.0, "bird+spread": 1.0, "no-white": 0.5}
    latents = torch.from_numpy(np.load(f"latents-{patch}.npy"))
    images = pipeline(weights, latents=latents, num_inference_steps=5, output_type="pt").images
    np.save(f"images-{patch}.npy", (images.permute(0, 2, 3, 1) * 255).round().to(torch.uint8).numpy())
    pipeline({"horse": 2}, batch_size=2, num_inference_steps=2).images[1].save(f"one-{patch}.png")
    try:
        pipeline({"hrose": 2})
    except ValueError as error:
        assert "unknown word 'hrose'" in str(error)
assert not {"gen_models", "common"} & {name.partition(".")[0] for name in sys.modules}
"""


def test_diffusers_alone_samples_the_same_images(tmp_path: Path) -> None:
    expected = {}
    for patch in (1, 2):
        run = untrained_run(tmp_path / f"run-{patch}", patch=patch)
        exported = tmp_path / f"exported-{patch}"
        export(ExportSettings(run.path, exported))
        denoiser, vocabulary, noise, _ = load_denoiser(run)
        size = denoiser.settings.size
        latents = torch.randn((2, 3, size, size), generator=torch.Generator().manual_seed(0))
        request = SampleRequest("horse=2,bird+spread=1,no-white=0.5", steps=5, stop_at=0)
        expected[patch] = sample(denoiser, vocabulary, noise, request, range(2), 2, "cpu", latents=latents)
        np.save(tmp_path / f"latents-{patch}.npy", latents.numpy())
        card = (exported / "README.md").read_text()
        assert "| seed | 742 |" in card and "`no-white`" in card
        with pytest.raises(UserError, match="exists and is never overwritten"):
            export(ExportSettings(run.path, exported))
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    variables |= {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hub")}
    subprocess.run([sys.executable, "-c", PLAIN], cwd=tmp_path, env=variables, check=True)
    for patch, drawn in expected.items():
        images = np.load(tmp_path / f"images-{patch}.npy")
        assert images.std() > 5
        assert np.abs(images.astype(int) - drawn).max() <= 1
        assert Image.open(tmp_path / f"one-{patch}.png").size == (size, size)


def test_mistakes(tmp_path: Path) -> None:
    with pytest.raises(UserError):
        export(ExportSettings(tmp_path / "none", tmp_path / "exported"))
    assert not (tmp_path / "exported").exists()
