"""The draft of a paper on a generative model: equations of its method, architecture, settings, batch and metrics.

Credits: Ho et al. 2020 (arXiv 2006.11239), Nichol and Dhariwal 2021 (arXiv 2102.09672), Salimans and Ho 2022 (arXiv
2202.00512), Hang et al. 2023 (arXiv 2303.09556), Ho and Salimans 2022 (arXiv 2207.12598), Liu et al. 2022 (arXiv
2206.01714) for the equations, which are those of ``gen_models.diffusion``.
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
from pathlib import Path
from typing import Any

from common.checkpoints import latest_checkpoint
from common.errors import UserError
from common.run_folder import RunFolder
from gen_models.figures.architecture_diagram import architecture_figure
from gen_models.figures.paper_figures import save_figure
from gen_models.request import SampleRequest
from gen_models.training.settings import RunSettings
from submission.paper.draft import Draft
from submission.paper.text import escaped, figure, table

SHOWN_METRICS = (
    "kernel distance", "precision", "recall", "Vendi score", "near-duplicate pairs", "nearest training image, pixels",
    "memorised", "sharpness", "whiteness",
)  # fmt: skip

DIFFUSION = r"""
\paragraph{Diffusion.} An image $\mathbf{x}_0$ is mixed with noise $\boldsymbol\epsilon \sim \mathcal{N}(\mathbf{0},
\mathbf{I})$ at a time $t$ \citep{ho2020},
\begin{equation}
\mathbf{x}_t = \alpha_t \mathbf{x}_0 + \sigma_t \boldsymbol\epsilon, \qquad \alpha_t^2 + \sigma_t^2 = 1,
\end{equation}
with the %s schedule%s. A U-Net $f_\theta$ predicts %s from $\mathbf{x}_t$, $t$ and labels $c$, and minimises
\begin{equation}
\mathcal{L}(\theta) = \mathbb{E}_{\mathbf{x}_0, c, t, \boldsymbol\epsilon}
  \left[ w_t \left\lVert f_\theta(\mathbf{x}_t, t, c) - %s \right\rVert_2^2 \right].
\end{equation}
"""
PREDICTIONS = {
    "v": (
        r"$\mathbf{v}_t = \alpha_t \boldsymbol\epsilon - \sigma_t \mathbf{x}_0$ \citep{salimans2022}",
        r"\mathbf{v}_t",
    ),
    "epsilon": (r"the noise $\boldsymbol\epsilon$", r"\boldsymbol\epsilon"),
    "x0": (r"the image $\mathbf{x}_0$", r"\mathbf{x}_0"),
}
MIN_SNR = {
    "v": r"\min(\mathrm{SNR}_t, \gamma) / (\mathrm{SNR}_t + 1)",
    "epsilon": r"\min(\mathrm{SNR}_t, \gamma) / \mathrm{SNR}_t",
    "x0": r"\min(\mathrm{SNR}_t, \gamma)",
}
GUIDANCE = r"""
\paragraph{Composition.} In training labels are dropped at random, so that $f_\theta$ also knows the unconditional
prediction $f_\varnothing$ \citep{hosalimans2022}. %s
"""
COMPOSED = {
    "and": r"""Conditions $c_i$ with weights $w_i$ are joined \citep{liu2022} by
\begin{equation} \tilde f = f_\varnothing + \sum_i w_i \left( f_{c_i} - f_\varnothing \right). \end{equation}""",
    "switch": r"""Of two conditions the first guides at high noise levels and the second at low ones \citep{balaji2022},
\begin{equation} \tilde f = f_\varnothing + w_k (f_{c_k} - f_\varnothing), \qquad
k = 1 \text{ for } \sigma_t > %g, \text{ else } 2. \end{equation}""",
    "mix": r"""The embeddings of the conditions are mixed in proportion to their weights; the mixture $\bar c$ guides:
\begin{equation} \tilde f = f_\varnothing + w \left( f_{\bar c} - f_\varnothing \right). \end{equation}""",
    "contrast": r"""What an attribute changes in one class, the difference of the predictions with it and without it,
is added to another,
\begin{equation} \tilde f = f_\varnothing + b \left( f_\mathrm{base} - f_\varnothing \right)
+ w \left( f_\mathrm{with} - f_\mathrm{without} \right). \end{equation}""",
    "map": r"""The network also knows label maps, which say what each pixel shows. A map $m$ lays out an animal, whose
outline is sampled first, and behind it a part of an outline from the training images,
\begin{equation} \tilde f = f_\varnothing + b \left( f_\mathrm{base} - f_\varnothing \right)
+ w \left( f_m - f_\varnothing \right). \end{equation}""",
}  # fmt: skip


OWN_OF_WINGED_HORSES = {
    "title.tex": "Winged horses from horses and birds\n",
    "abstract.tex": "A denoising diffusion model is trained on images of horses and birds. Images of winged horses, "
    "which are in neither class, are composed from its predictions for both.\n",
    "results.tex": "The first batch is shown as it was drawn, beside the one that was selected from.\n",
    "limitations.tex": "What the selection has left out is in the unselected batch.\n",
}


def images_draft(run: Path, judged: Path, interpolations: bool) -> Draft:
    """The draft of a run's paper.

    :param judged: folder of the judged batch
    :param interpolations: whether the edition wants interpolations; then the paper shows what ``present`` made, or else
        the judged batch, and the interpolations from the run's folder of figures
    :raises UserError: when the run, its batch or a figure is missing; the message has the command that makes it
    """
    settings = RunSettings.from_yaml(RunFolder(run).settings)
    selection = _json(judged / "selection.json")
    request = selection["request"]
    presented = sorted(run.glob("*/cherry-picked.png")) if interpolations else []
    if presented:
        pictures, results = _presented(presented[-1].parent, f"run_pegasus.py present {run}")
    else:
        pictures, results = _judged(run, judged, selection, interpolations)
    pictures["architecture.pdf"] = _architecture(settings)
    results.append(_metrics(_json(judged / "metrics.json")))
    sources = _sources(settings)
    return Draft(
        own={
            **(_own_of_samples(settings) if interpolations else OWN_OF_WINGED_HORSES),
            "methodology.tex": f"The model is trained from scratch on {sources}.\n",
        },
        method="\n".join([_equations(settings, request), _architecture_figure(), _settings_table(run, settings)]),
        results="\n".join(results),
        figures=pictures,
    )


def _own_of_samples(settings: RunSettings) -> dict[str, str]:
    """First contents of the student's files, where samples of the classes are wanted."""
    classes = escaped(" and ".join(settings.vocabulary.classes))
    return {
        "title.tex": f"A diffusion model of images of {classes}\n",
        "abstract.tex": f"A denoising diffusion model is trained from scratch on images of {classes}. Samples that "
        "were not selected are shown, interpolations between pairs of samples, and picked examples.\n",
        "results.tex": "The first batch is shown as it was drawn, beside picked examples.\n",
        "limitations.tex": "What the picked examples do not show is in the unselected batch.\n",
    }


def _presented(folder: Path, command: str) -> tuple[dict[str, bytes], list[str]]:
    """Pictures and results of what ``present`` made."""
    names = ("samples.png", "cherry-picked.png", "interpolations.png")
    pictures = {name: _picture(folder / name, command) for name in names}
    results = [
        figure(
            [("samples.png", 0.47), ("cherry-picked.png", 0.47)],
            "Left: the first 64 images of the seed, none selected. Right: picked examples.",
        ),
        figure([("interpolations.png", 0.9)], "Interpolations between pairs of samples, none selected."),
    ]
    return pictures, results


def _judged(
    run: Path, judged: Path, selection: dict[str, Any], interpolations: bool
) -> tuple[dict[str, bytes], list[str]]:
    """Pictures and results of what ``judge`` made, with the interpolations of ``figures`` where they are wanted."""
    request = selection["request"]
    pictures = {
        name: _picture(judged / name, f"run_pegasus.py judge {run}") for name in ("batch-random.png", "batch.png")
    }
    pictures["best.png"] = _picture(judged / "best-pegasus.png", f"run_pegasus.py judge {run}")
    results = [
        figure(
            [("batch-random.png", 0.47), ("batch.png", 0.47)],
            f"Left: the first images drawn, none selected. Right: the {len(selection['kept'])} selected of "
            f"{selection['drawn']}. {_how(request)}",
        ),
        figure(
            [("best.png", 0.25)], f"The best image by its score, number {selection['best']} of {selection['drawn']}."
        ),
    ]
    if interpolations:
        found = sorted((run / "figures").glob("*/interpolations.png"))
        path = found[-1] if found else run / "figures" / "paper" / "interpolations.png"
        pictures["interpolations.png"] = _picture(path, f"run_pegasus.py figures {run}")
        results.append(figure([("interpolations.png", 0.9)], "Interpolations between pairs of samples, none selected."))
    return pictures, results


def _equations(settings: RunSettings, request: dict[str, Any]) -> str:
    prediction, target = PREDICTIONS[settings.noise.prediction]
    cosine = r" \citep{nichol2021}" if settings.noise.schedule == "cosine" else ""
    text = DIFFUSION % (settings.noise.schedule, cosine, prediction, target)
    if settings.learning.min_snr:
        text += (
            rf"The weights are $w_t = {MIN_SNR[settings.noise.prediction]}$ \citep{{hang2023}} with $\mathrm{{SNR}}_t ="
            rf" \alpha_t^2 / \sigma_t^2$ and $\gamma = {settings.learning.min_snr:g}$." + "\n"
        )
    else:
        text += "All weights are 1.\n"
    method = str(request.get("compose", "and"))
    composed = COMPOSED[method] % request["switch_at"] if method == "switch" else COMPOSED[method]
    return text + GUIDANCE % composed


def _how(request: dict[str, Any]) -> str:
    known = {field.name for field in dataclasses.fields(SampleRequest)}
    asked = SampleRequest(**{name: value for name, value in request.items() if name in known})
    words = asked.words or "none"
    return f"Conditions {words}; method {asked.compose}, {asked.steps} steps of {asked.sampler}, seed {asked.seed}."


def _architecture_figure() -> str:
    return figure([("architecture.pdf", 0.5)], "The denoiser: resolutions and channels, conditions below.")


def _architecture(settings: RunSettings) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        drawn = architecture_figure(settings.denoiser, settings.vocabulary, settings.noise.prediction)
        save_figure(drawn, Path(folder) / "architecture")
        return (Path(folder) / "architecture.pdf").read_bytes()


def _settings_table(run: Path, settings: RunSettings) -> str:
    shape, learning = settings.denoiser, settings.learning
    checkpoint = latest_checkpoint(RunFolder(run).checkpoints)
    seen = "" if checkpoint is None else f"{_json(checkpoint / 'state.json').get('images', 0):,}"
    rows = [
        ("images", ", ".join(settings.data.specs) + f", {settings.data.size} pixels"),
        ("classes", ", ".join(settings.vocabulary.classes)),
        ("trained on, with repetitions", f"{seen} images"),
        ("channels, from fine to coarse", ", ".join(map(str, shape.channels))),
        ("patch, blocks at each resolution", f"{shape.patch}, {shape.layers}"),
        ("batch, highest learning rate", f"{learning.batch_size}, {learning.learning_rate:g}"),
        ("labels dropped: class, all", f"{learning.class_dropout:g}, {learning.all_dropout:g}"),
        ("average of the weights, seed", f"{learning.ema_decay:g}, {settings.seed}"),
    ]
    return table(("setting", "value"), rows, "Settings of the training.", "ll")


def _metrics(content: dict[str, Any]) -> str:
    """The most telling rows of the judged table, for the run's two sets and for real images."""
    sets = list(content["sets"])
    own = [name for name in sets if not content["sets"][name]["real"]][:2]
    real = [name for name in sets if content["sets"][name]["real"]][-1:]
    columns = [*own, *real]
    rows = []
    for metric in content["metrics"]:
        if metric["name"].startswith(SHOWN_METRICS):
            values = [metric["values"].get(name) for name in columns]
            rows.append((metric["name"], *("" if value is None else f"{value:.3g}" for value in values)))
    caption = (
        "Metrics in features of a classifier trained on the same images; to be compared within the table only. "
        "Vendi score: effective number of different images."
    )
    return table(("metric", *columns), rows, caption) + "\nThe Vendi score is that of \\citet{friedman2022}.\n"


def _sources(settings: RunSettings) -> str:
    cited = {"cifar10": r"CIFAR-10 \citep{krizhevsky2009}", "stl10": r"STL-10 \citep{coates2011}"}
    return " and ".join(cited.get(spec, escaped(spec)) for spec in settings.data.specs)


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is missing or damaged; judge the batch again") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} is damaged; judge the batch again")
    return content


def _picture(path: Path, command: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"the paper needs {path}, which is missing: {command}") from error
