"""The page that samples batches: the request, the images, and a close view of the image that is clicked.

Batches are sampled one after another; each window has its own. Nothing is fetched from outside: fonts are the
system's, and Gradio's analytics are off.

Credits: Gradio (Abid et al. 2019, arXiv 1906.02569).
"""

from __future__ import annotations

import math
import re
import shutil
import traceback
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import gradio as gr
from fastapi import FastAPI
from PIL import Image

from common.errors import UserError, first_line
from gen_models.diffusion.conditions import Vocabulary
from gen_models.diffusion.guidance import composed, parse_weights
from gen_models.diffusion.samples import Samples
from gen_models.images.grids import save_png
from gen_models.page import html as html
from gen_models.page.guard import Guard
from gen_models.page.live_sampling import LiveSampling
from gen_models.page.scores import Scorer
from gen_models.request import PAIRS, Method, SampleRequest, SamplerName
from gen_models.training.run_sampler import RunSampler

IMAGES, MOST_IMAGES = 16, 256
MOST_SESSIONS = 64  # windows whose batches are kept, each some MB
MOST_FILES = 256  # offered for download at a time
UPDATE_EVERY = 0.3  # seconds between two updates of a batch in work

# The examples on the page, the first as its default; those with words that a run does not know are left out. The
# contrast and the map are from birds.
EXAMPLES: tuple[tuple[str, Method], ...] = (
    ("horse+spread=4", "and"),
    ("horse+white+spread=4", "and"),
    ("horse=2,spread=3.5", "and"),
    ("horse=2,bird=1", "and"),
    ("bird+spread=2,horse=2", "switch"),
    ("horse=2,spread=2", "mix"),
    ("horse=4,spread=3", "contrast"),
    ("horse=1,spread=2", "map"),
)

Update = dict[Any, Any]
"""New values by component."""


class Page:
    """The page.

    :param run_sampler: of the run
    :param scorer: scores the clicked image
    :param files: folder of the files offered for download
    """

    def __init__(self, run_sampler: RunSampler, scorer: Scorer, files: Path) -> None:
        self.run_sampler = run_sampler
        self.scorer = scorer
        self.files = files
        self._worker = ThreadPoolExecutor(1)
        self._offered: list[Path] = []
        self._sampling: LiveSampling | None = None
        with gr.Blocks(title=f"Pegasus: {run_sampler.origin.run}", analytics_enabled=False) as self.blocks:
            gr.HTML(html.heading(run_sampler))
            with gr.Row():
                with gr.Column(scale=2, min_width=320):
                    self._build_request()
                with gr.Column(scale=3, min_width=320):
                    self._build_result()
            self._connect()

    def close(self) -> None:
        """Stop all sampling, and wait for it to end."""
        if self._sampling is not None:
            self._sampling.stop()
        self._worker.shutdown()

    def _build_request(self) -> None:
        vocabulary = self.run_sampler.vocabulary
        examples = known_examples(vocabulary)
        default = SampleRequest(*examples[0])
        methods = [name for name in get_args(Method) if name != "map" or vocabulary.regions]
        self.weights = gr.Textbox(
            default.weights,
            label="Conditions and weights",
            info="Commas between conditions; a plus joins words to one condition. Empty: the unconditional model.",
            elem_id="weights",
            max_lines=1,
        )
        with gr.Row():
            self.words = gr.Dropdown(words(vocabulary), multiselect=True, label="Condition", scale=4, min_width=150)
            self.weight = gr.Number(3, label="Weight", step=0.5, scale=2, min_width=70)
            self.add = gr.Button("Add", scale=1, min_width=64, elem_id="add")
        self.method = gr.Radio(
            methods,
            value=default.compose,
            label="Method",
            info="and: all at once; switch: the first at high noise levels, the second at low ones; mix: one between; "
            "contrast: the first, and what the second changes in another class"
            + ("; map: the same, laid out on a label map." if vocabulary.regions else "."),
        )
        self.contrast_from = gr.Textbox(
            "bird" if "bird" in vocabulary.classes else "",
            label="From the class",
            elem_id="contrast-from",
            max_lines=1,
            visible=default.compose in PAIRS,
        )
        self.switch_at = gr.Slider(
            0, 1, default.switch_at, step=0.01, label="Switch at noise level", visible=default.compose == "switch"
        )
        # Checked with the other fields, since a browser may send none.
        self.switch_at.preprocess = lambda payload: payload  # type: ignore[method-assign]
        with gr.Row():
            self.sampler = gr.Dropdown(
                list(get_args(SamplerName)), value=default.sampler, label="Sampler", min_width=100
            )
            self.steps = gr.Number(default.steps, label="Steps", min_width=100, elem_id="steps")
        with gr.Row():
            self.count = gr.Number(IMAGES, label="Images", min_width=100, elem_id="count")
            self.seed = gr.Number(default.seed, label="Seed", min_width=100, elem_id="seed")
        with gr.Row():
            self.draw = gr.Button("Draw", variant="primary", min_width=120)
            self.stop = gr.Button("Stop", variant="stop", min_width=120, interactive=False)
        gr.Examples(
            [list(example) for example in examples],
            [self.weights, self.method],
            example_labels=[weights if method == "and" else f"{method}: {weights}" for weights, method in examples],
            label="To try",
            preload=False,
            api_visibility="private",
        )

    def _build_result(self) -> None:
        self.live = gr.State()  # the window's batch, as it was asked for
        self.samples = gr.State()
        self.status = gr.HTML(html.message("Choose what to draw, then Draw."), elem_id="status")
        self.tiles = gr.HTML(html.tiles((), IMAGES), js_on_load=html.CLICK, elem_id="tiles")
        self.all_files = gr.DownloadButton("All images: samples.npz", visible=False, size="sm", elem_id="all-files")
        self.closeup = gr.HTML(elem_id="closeup")
        self.one_file = gr.DownloadButton(visible=False, size="sm", elem_id="one-file")

    def _connect(self) -> None:
        quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        how = [self.method, self.contrast_from, self.switch_at, self.sampler, self.steps]
        asked = [self.weights, *how, self.count, self.seed]
        shown = [
            self.live, self.status, self.tiles, self.closeup, self.samples, self.all_files, self.one_file, self.draw,
            self.stop,
        ]  # fmt: skip
        self.add.click(
            _added, [self.weights, self.words, self.weight], [self.weights, self.words], queue=False, **quiet
        )
        self.method.change(
            lambda method: (gr.update(visible=method == "switch"), gr.update(visible=method in PAIRS)),
            self.method,
            [self.switch_at, self.contrast_from],
            queue=False,
            **quiet,
        )
        # What is asked while a batch is in work is answered, too: that it is, or what is wrong with it.
        gr.on(
            [self.draw.click, self.weights.submit],
            self._begin,
            [self.live, *asked],
            shown,
            queue=False,
            trigger_mode="multiple",
            **quiet,
        ).then(self._watch, self.live, shown, concurrency_limit=1, **quiet)
        self.stop.click(self._stop, self.live, self.stop, queue=False, **quiet)
        self.tiles.click(self._show_closeup, self.samples, [self.closeup, self.one_file], **quiet).then(
            js=html.TO_CLOSEUP, **quiet
        )

    def _begin(
        self,
        live: LiveSampling | None,
        weights: str | None,
        method: Method,
        contrast_from: str | None,
        switch_at: float | None,
        sampler: SamplerName,
        steps: float | None,
        count: float | None,
        seed: float | None,
    ) -> Update:
        """Check the request, and make its batch or show the error.

        A batch that nobody comes to watch is never sampled, and goes with its window.
        """
        if live is not None and live.running:
            return {self.status: gr.skip()}
        try:
            if method not in get_args(Method) or sampler not in get_args(SamplerName):
                raise UserError("choose a method and a sampler")
            images = _whole("images", count)
            if not 1 <= images <= MOST_IMAGES:
                raise UserError(f"images {images}: from 1 to {MOST_IMAGES}")
            request = SampleRequest(
                compose=method, sampler=sampler, steps=_whole("steps", steps), seed=_whole("seed", seed)
            )
            if method in PAIRS:
                request = replace(request, **_contrast(weights or "", contrast_from or "", self.run_sampler.vocabulary))
            else:
                request = replace(request, weights=(weights or "").strip(), switch_at=_number("switch at", switch_at))
            request.check()
            composed(request, self.run_sampler.vocabulary)
        except UserError as error:
            return {self.status: html.error(in_page_words(error))}
        waiting = "Beginning." if self._sampling is None else "Waiting for another window's drawing."
        return {
            self.live: LiveSampling(self.run_sampler, request, images),
            self.status: html.message(waiting),
            self.tiles: html.tiles((), images),
            self.closeup: "",
            self.samples: None,
            self.all_files: gr.update(visible=False),
            self.one_file: gr.update(visible=False),
            self.draw: gr.update(interactive=False),
            self.stop: gr.update(interactive=True),
        }

    def _watch(self, live: LiveSampling | None) -> Iterator[Update]:
        """Sample in the worker thread, and show the progress."""
        if live is None or live.begun:
            yield {self.status: gr.skip()}
            return
        self._sampling = live
        try:
            work = self._worker.submit(live.run)
            while not wait([work], UPDATE_EVERY).done:
                view = live.view()
                yield {
                    self.status: html.progress(view, live.count),
                    self.tiles: html.tiles(view.images, live.count),
                }
            result = self._finished(work.result(), live)
        except UserError as error:
            result = {self.status: html.error(in_page_words(error))}
        except Exception as error:
            traceback.print_exception(error)
            result = {self.status: html.error(f"{type(error).__name__}: {first_line(error)}")}
        finally:  # also when the window was closed
            live.stop()
            self._sampling = None
        yield {**result, self.draw: gr.update(interactive=True), self.stop: gr.update(interactive=False)}

    def _finished(self, samples: Samples, live: LiveSampling) -> Update:
        count, seconds = len(samples.images), live.view().seconds
        if not count:
            return {self.status: html.message("Stopped; no image is finished."), self.tiles: html.tiles((), IMAGES)}
        file = self._new_file("samples.npz")
        samples.save(file)
        stopped = f"Stopped with {count} of {live.count} images" if count < live.count else f"{count} images"
        return {
            self.status: html.message(f"{stopped} in {seconds:.1f} s. {samples.caption()}"),
            self.tiles: html.tiles(samples.images, count, clickable=True),
            self.samples: samples,
            self.all_files: gr.update(value=file, visible=True),
        }

    def _new_file(self, name: str) -> Path:
        """A path for a file to download, in a folder of its own; the oldest files are removed."""
        self._offered.append(self.files / uuid.uuid4().hex)
        while len(self._offered) > MOST_FILES:
            shutil.rmtree(self._offered.pop(0), ignore_errors=True)
        return self._offered[-1] / name

    def _stop(self, live: LiveSampling | None) -> Update:
        if live is not None:
            live.stop()
        return {self.stop: gr.update(interactive=False)}

    def _show_closeup(self, samples: Samples | None, event: gr.EventData) -> Update:
        """Show the image that was clicked."""
        number = event._data.get("number") if isinstance(event._data, dict) else None
        if samples is None or not isinstance(number, int) or not 0 <= number < len(samples.images):
            return {self.closeup: gr.skip()}
        image = samples.images[number]
        file = self._new_file(f"image-{samples.indices[number]:04d}.png")
        save_png(Image.fromarray(image), file)
        return {
            self.closeup: html.closeup(image, number, self.scorer(image)),
            self.one_file: gr.update(value=file, label=f"This image: {file.name}", visible=True),
        }


def application(page: Page, names: Iterable[str] = ()) -> Guard:
    """The page as a web application, without FastAPI's documentation, which loads scripts from elsewhere.

    :param names: of the machine, by which the page may be asked for besides its addresses and its own name
    """
    page.blocks.state_session_capacity = MOST_SESSIONS
    page.blocks.queue(max_size=MOST_SESSIONS)
    theme = gr.themes.Default(font=("system-ui", "sans-serif"), font_mono=("ui-monospace", "monospace"))
    application: FastAPI = gr.mount_gradio_app(
        FastAPI(openapi_url=None),
        page.blocks,
        path="/",
        theme=theme,
        css=html.CSS,
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        max_file_size="1kb",  # nothing is uploaded
    )
    return Guard(application, names)


def words(vocabulary: Vocabulary) -> list[str]:
    """The words that a condition can consist of."""
    negated = [f"no-{name}" for name in vocabulary.attributes]
    return [*vocabulary.classes, *vocabulary.attributes, *negated, *vocabulary.sources]


def known_examples(vocabulary: Vocabulary) -> list[tuple[str, Method]]:
    """The examples whose words the run knows; the first is the page's default."""
    examples = []
    for weights, method in (*EXAMPLES, *((f"{name}=3", "and") for name in vocabulary.classes)):
        try:
            if method in PAIRS:
                composed(SampleRequest(compose=method, **_contrast(weights, "bird", vocabulary)), vocabulary)
            parse_weights(weights, vocabulary)
        except UserError:
            continue
        examples.append((weights, method))
    return examples or [("", "and")]


def in_page_words(error: UserError) -> str:
    """A message written for the command line, in the page's words."""
    return re.sub(r"--compose\b", "method", str(error)).replace("--", "")


def _contrast(weights: str, contrast_from: str, vocabulary: Vocabulary) -> dict[str, Any]:
    """The fields of a request for a contrast or a map.

    :raises UserError: for other than two conditions with their weights
    """
    conditions, (*numbers,) = parse_weights(weights, vocabulary)
    if len(conditions) != 2:
        raise UserError(f"this method takes two conditions, a base and what is added, not {len(conditions)}")
    (base, add), (base_weight, add_weight) = (one.name for one in conditions), numbers
    return {
        "base": base, "add": add, "from_": contrast_from.strip(), "base_weight": base_weight, "add_weight": add_weight
    }  # fmt: skip


def _whole(name: str, number: float | None) -> int:
    """:raises UserError: for what is not a whole number"""
    if number is None or not math.isfinite(number) or number != int(number):
        raise UserError(f"{name} {'' if number is None else f'{number:g} '}is not a whole number")
    return int(number)


def _number(name: str, number: float | None) -> float:
    """:raises UserError: for what is not a number"""
    if number is None or not math.isfinite(number):
        raise UserError(f"{name} {'' if number is None else f'{number:g} '}is not a number")
    return number


def _added(weights: str, chosen: list[str], weight: float | None) -> tuple[str, list[str]]:
    """The text with one more condition, which joins the chosen words."""
    if not chosen or weight is None:
        return weights, chosen
    return ",".join([*filter(None, [weights.strip().strip(",")]), f"{'+'.join(chosen)}={weight:g}"]), []
