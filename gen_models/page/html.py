"""HTML of the page's pictures and numbers; all text from outside is escaped.

Pictures are embedded as ``data:`` URLs, so that no files are left on the disk and nothing flickers.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from gen_models.images.grids import data_url
from gen_models.judging.measured import MEMORISED
from gen_models.page.live_sampling import View
from gen_models.page.scores import NearestImages, Scores
from gen_models.training.run_sampler import RunSampler

# Colours are the theme's, so that they follow its dark mode.
CSS = """
.heading h1 { margin: 0; }
.heading div { opacity: 0.75; overflow-wrap: anywhere; }
.tiles { display: grid; gap: 4px;
  grid-template-columns: repeat(auto-fill, minmax(max(44px, calc(12.5% - 4px)), 1fr)); }
.tile { padding: 0; border: 0; margin: 0 !important; line-height: 0;
  aspect-ratio: 1; background: var(--background-fill-secondary); overflow: hidden; }
button.tile { cursor: pointer; }
button.tile:hover { outline: 2px solid var(--border-color-accent); }
button.tile.chosen, button.tile:focus-visible { outline: 3px solid var(--color-accent); }
.tile img, .closeup img { display: block; width: 100%; aspect-ratio: 1; margin: 0; image-rendering: pixelated; }
.status { min-height: 1.5em; overflow-wrap: anywhere; }
.status progress { width: 100%; height: 10px; }
.status progress::-webkit-progress-value { background: var(--color-accent); }
.status .error { color: var(--error-text-color); background: var(--error-background-fill);
  border: 1px solid var(--error-border-color); padding: 6px 10px; }
.closeup { display: flex; flex-wrap: wrap; gap: 8px 24px; }
.closeup h3 { margin: 0 0 6px; }
.closeup .large { width: 160px; }
.closeup .words { flex: 1 1 220px; min-width: 0; }
.closeup table, .closeup tr, .closeup td { border: 0 !important; border-collapse: collapse; }
.closeup td { padding: 2px 16px 2px 0; vertical-align: top; }
.closeup td:last-child { font-variant-numeric: tabular-nums; }
.closeup .note { opacity: 0.75; font-weight: normal; font-size: 0.9em; margin: 4px 0 0; }
.closeup .neighbours { flex: 1 1 100%; }
.closeup .row { display: grid; gap: 8px; grid-template-columns: repeat(auto-fill, minmax(76px, 1fr)); }
.closeup figure { margin: 0; }
.closeup figcaption { font-size: 0.8em; line-height: 1.3; }
#add { align-self: flex-end; }
"""

# One listener for all tiles, since they are replaced with every update of the batch.
CLICK = """
element.addEventListener('click', event => {
  const tile = event.target.closest('button.tile');
  if (!tile) return;
  element.querySelectorAll('.chosen').forEach(other => other.classList.remove('chosen'));
  tile.classList.add('chosen');
  trigger('click', {number: Number(tile.dataset.number)});
});
"""
TO_CLOSEUP = "() => document.querySelector('#closeup').scrollIntoView({behavior: 'smooth', block: 'nearest'})"


def heading(sampler: RunSampler) -> str:
    """The name of the run, its checkpoint, image size and vocabulary."""
    origin, vocabulary, size = sampler.origin, sampler.vocabulary, sampler.denoiser.settings.size
    known = ", ".join([*vocabulary.classes, *vocabulary.attributes, *vocabulary.sources])
    weights = "" if origin.averaged else ", last weights"
    text = f"{origin.run}, {origin.checkpoint}{weights}; {size} x {size} pixels; knows {known}"
    return f'<div class="heading"><h1>Pegasus</h1><div>{escape(text)}</div></div>'


def picture(image: NDArray[np.uint8], words: str) -> str:
    """An image uint8 (S, S, 3), unscaled.

    :param words: the alternative text
    """
    return f'<img alt="{escape(words)}" src="{data_url(image)}">'


def tiles(images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8], count: int, clickable: bool = False) -> str:
    """A batch in rows.

    :param images: uint8 (S, S, 3) each, the first of ``count`` tiles; the other tiles are empty
    :param clickable: each tile is a button that carries its number, from 0
    """
    pieces = []
    for number in range(count):
        inner = picture(images[number], f"image {number}") if number < len(images) else ""
        if clickable:
            pieces.append(f'<button type="button" class="tile" data-number="{number}">{inner}</button>')
        else:
            pieces.append(f'<div class="tile">{inner}</div>')
    return f'<div class="tiles">{"".join(pieces)}</div>'


def progress(view: View, count: int) -> str:
    """The progress of a batch of ``count`` images, with the estimated time left."""
    text = f"{view.finished} of {count} images"
    if view.done:
        left = view.seconds * (view.total - view.done) / view.done
        text += f", {view.done / view.total:.0%}, about {left:.0f} s left"
    return f'<div class="status"><progress value="{view.done}" max="{view.total}"></progress><div>{text}</div></div>'


def message(text: str) -> str:
    """A status line."""
    return f'<div class="status" role="status">{escape(text)}</div>'


def error(text: str) -> str:
    """A line about an error."""
    return f'<div class="status"><div class="error" role="alert">{escape(text)}</div></div>'


def closeup(image: NDArray[np.uint8], number: int, scores: Scores) -> str:
    """One image with its scores and nearest training images."""
    rows = "".join(f"<tr><td>{escape(name)}</td><td>{value}</td></tr>" for name, value in _table(scores))
    pieces = [
        f'<div class="large">{picture(image, f"image {number}")}</div>',
        f'<div class="words"><h3>Image {number}</h3><table>{rows}</table></div>',
    ]
    if scores.pixels is None:
        pieces.append('<p class="note">The training images are not where they were: no neighbours.</p>')
    else:
        pieces.append(_neighbours("Nearest training images in pixels", "RMSE, 0 to 1", scores.pixels))
    if scores.warning is not None:
        pieces.append(f'<p class="note">{escape(scores.warning)}</p>')
    if scores.features is not None:
        pieces.append(_neighbours("Nearest training images in own features", "Euclidean", scores.features))
    return f'<div class="closeup">{"".join(pieces)}</div>'


def _table(scores: Scores) -> list[tuple[str, str]]:
    table = [(f"probability of {name}, own classifier", f"{value:.0%}") for name, value in scores.probabilities.items()]
    table.append(("white share of the foreground", f"{scores.whiteness:.0%}"))
    for space, found in (("pixels", scores.pixels), ("own features", scores.features)):
        if found is not None:
            table.append((f"nearest training image in {space}", f"{found.distances[0]:.3f}"))
        if found is not None and found.ratio is not None:
            verdict = "memorised" if found.ratio < MEMORISED else "not memorised"
            table.append(("first to second nearest", f"{found.ratio:.2f}, {verdict}"))
    return table


def _neighbours(title: str, unit: str, found: NearestImages) -> str:
    figures = []
    for image, name, distance in zip(found.images, found.classes, found.distances, strict=True):
        words = f"{distance:.3f} {name}".strip()
        figures.append(f"<figure>{picture(image, words)}<figcaption>{escape(words)}</figcaption></figure>")
    head = f'<h3>{escape(title)} <span class="note">({escape(unit)})</span></h3>'
    return f'<div class="neighbours">{head}<div class="row">{"".join(figures)}</div></div>'
