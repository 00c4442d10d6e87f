"""The page of results, made from the files in ``results/``: every number in it can be traced to one of them.

    python -m bench.results          # writes docs/results.md and docs/results-gravitar.png

Credits: the peers' sources are named in ``results/peers.yml``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from safetensors.torch import load_file

from common.checkpoints import latest_checkpoint, steps_of
from common.files import write_atomic
from common.run_folder import RunFolder
from common.scores.curves import learning_curve, mean_at
from common.scores.logs import ScoreLog, read_log
from common.scores.plots import plot_learning_curves
from common.weights import files_of
from gen_models.commands.prove import DRAWN
from gen_models.training.settings import RunSettings as PegasusSettings
from gen_models.training.state import EMA
from rl.settings import RunSettings

ROOT = Path(__file__).resolve().parent.parent
RESULTS, PAGE = ROOT / "results", ROOT / "docs" / "results.md"
GRAVITAR_FIGURE = "results-gravitar.png"  # beside the page

INTRODUCTION = """\
# Results

Made by `make results` from the files in [results/](../results): runs that are kept with their settings, logs,
evaluations and weights. An interval is the 95% bootstrap interval of the mean over games of one trained agent; it says
nothing about other training seeds.
"""

GRAVITAR = """\
## Gravitar

`ALE/Gravitar-v5`, 18 actions, frame skip 4, sticky actions 0.25, raw scores of whole games from the true start; fresh
games are those of `evaluate`. Watch an agent with `run_gravitar.py watch results/gravitar/NAME`. Where a training began
with the policy of another that is kept (`--pretrained`), its steps, games and curve are those of both together.
"""

PEERS = """\
### Beside published scores

Protocols differ, budgets too: an agent step is four frames. Ours are the training's last 100 games.
"""

PEGASUS = """\
## Pegasus

Denoisers that are kept with their averaged weights, for `run_pegasus.py sample results/pegasus/NAME`. Winged horses are
counted by the scorer of [composition.md](composition.md#what-counts-as-a-winged-horse) among unselected samples of the
best method, with Wilson's 95 % interval; the Frechet distance is to drawn winged horses, 0.7 for other drawings.
"""

COURSEWORK = """\
### Beside coursework

Mean score of the last 100 games at a game, of submissions to the assignment of 2020, and ours.
"""


def main() -> None:
    """Write the page and its figures."""
    runs, models = kept_agents(), kept_models()
    peers = yaml.safe_load((RESULTS / "peers.yml").read_text())
    write_atomic(PAGE, page(runs, models, peers))
    earlier = {stage for run in runs for stage in stages(run.path)[:-1]}  # parts of another's curve
    logs = [whole_log(run.path) for run in runs if run.path not in earlier]
    plot_learning_curves(logs, PAGE.parent / GRAVITAR_FIGURE, title="Gravitar: the agents in results/")
    print(f"{PAGE}, {PAGE.parent / GRAVITAR_FIGURE}")


@dataclass(frozen=True)
class Agent:
    """A trained agent in ``results/``.

    :param path: its folder
    :param settings: of its training
    :param about: ``machine`` and ``command``, from ``about.yml``
    :param timesteps: agent steps of the training, with those of the one whose policy it began with
    :param games: likewise
    :param means: mean score of the last 100 games, by the game's number
    :param last: of the training's last 100 games
    :param best: score of the training
    :param evaluations: the content of each evaluation's file, by its name
    """

    path: Path
    settings: RunSettings
    about: dict[str, str]
    timesteps: int
    games: int
    means: dict[int, float]
    last: float
    best: float
    evaluations: dict[str, dict[str, Any]]


def kept_agents() -> list[Agent]:
    """The agents in ``results/``: all with weights; earlier stages of a training may be kept without."""
    return [read_agent(path) for path in sorted((RESULTS / "gravitar").iterdir()) if (path / "checkpoints").exists()]


@dataclass(frozen=True)
class Model:
    """A denoiser in ``results/``.

    :param path: its folder
    :param settings: of its training
    :param about: ``machine`` and ``command``, from ``about.yml``
    :param images: that it was trained on
    :param parameters: of its network
    :param best: the count of the best method in ``composition.json``; None where nothing was counted
    """

    path: Path
    settings: PegasusSettings
    about: dict[str, str]
    images: int
    parameters: int
    best: dict[str, Any] | None


def kept_models() -> list[Model]:
    """The denoisers in ``results/``."""
    return [read_model(path) for path in sorted((RESULTS / "pegasus").iterdir()) if (path / "checkpoints").exists()]


def read_model(path: Path) -> Model:
    """Read what is kept of a denoiser."""
    checkpoint = latest_checkpoint(RunFolder(path).checkpoints)
    assert checkpoint is not None  # a result without weights is not kept
    parts = [load_file(part) for part in files_of(checkpoint / EMA)]
    counted = path / "composition" / "composition.json"
    counts = json.loads(counted.read_text())["counted"] if counted.exists() else []
    return Model(
        path,
        PegasusSettings.from_yaml(path / "settings.yml"),
        yaml.safe_load((path / "about.yml").read_text()),
        steps_of(checkpoint),
        sum(tensor.numel() for part in parts for tensor in part.values()),
        max((one for one in counts if one["method"] != DRAWN), key=lambda one: one["share"], default=None),
    )


def read_agent(path: Path, games: Iterable[int] = (100, 500, 1000, 1500, 2000, 3000, 5000, 10000)) -> Agent:
    """Read what is kept of a training.

    :param games: numbers of games at which the mean of the last 100 is wanted
    """
    log = whole_log(path)
    curve = learning_curve(log)
    means = {game: mean for game in games if (mean := mean_at(curve, game)) is not None}
    return Agent(
        path,
        RunSettings.from_yaml(path / "settings.yml"),
        yaml.safe_load((path / "about.yml").read_text()),
        sum(map(_timesteps, stages(path))),
        log.games,
        means,
        float(curve.means[-1]),
        float(log.scores.max()),
        {file.name: json.loads(file.read_text()) for file in sorted((path / "evaluations").glob("*.json"))},
    )


def stages(path: Path) -> list[Path]:
    """A kept training and those whose policies it and they began with, the first one first."""
    pretrained = RunSettings.from_yaml(path / "settings.yml").pretrained
    return [path] if pretrained is None else [*stages(path.parent / Path(pretrained).name), path]


def whole_log(path: Path) -> ScoreLog:
    """The scores of all stages of a training, numbered through."""
    *_, last = logs = [read_log(stage) for stage in stages(path)]
    scores = np.concatenate([log.scores for log in logs])
    return replace(last, scores=scores, episodes=np.arange(len(scores), dtype=np.int64))


def _timesteps(path: Path) -> int:
    checkpoint = latest_checkpoint(RunFolder(path).checkpoints)
    if checkpoint is None:  # a stage whose weights are not kept
        return int(yaml.safe_load((path / "about.yml").read_text())["timesteps"])
    return steps_of(checkpoint)


def page(agents: Sequence[Agent], models: Sequence[Model], peers: dict[str, Any]) -> str:
    """The page, in Markdown.

    :param peers: the content of ``results/peers.yml``
    """
    return "\n".join(
        [
            INTRODUCTION,
            GRAVITAR,
            table(
                ("agent", "method", "seed", "steps", "last 100 games of the training", "machine", "fresh games"),
                map(_agent_row, agents),
            ),
            "How they were trained:\n",
            *(f"* {_link(agent.path)}: `{agent.about['command'].strip()}`" for agent in agents),
            f"\n![Learning curves of the agents]({GRAVITAR_FIGURE})\n",
            PEERS,
            table(("agent", "score", "budget", "protocol", "source"), _peer_rows(agents, peers["gravitar"])),
            COURSEWORK,
            table(
                ("game", *(f"{game:,}" for game in peers["coursework"]["games"]), "best"),
                _coursework_rows(agents, peers["coursework"]),
            ),
            PEGASUS,
            table(
                (
                    "denoiser",
                    "images",
                    "parameters",
                    "trained on",
                    "seed",
                    "machine",
                    "winged horses",
                    "Frechet distance",
                ),
                map(_model_row, models),
            ),
            *(f"* {_link(model.path)}: `{model.about['command'].strip()}`" for model in models),
            "",
        ]
    )


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown; numbers in the cells are texts already."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _link(path: Path, text: str | None = None) -> str:
    """A link to what is kept in ``results/``."""
    return f"[{text or path.name}](../results/{path.relative_to(RESULTS).as_posix()})"


def _agent_row(agent: Agent) -> list[str]:
    settings = agent.settings
    training = [
        _link(agent.path),
        f"{settings.algo.upper()}, {settings.environment.obs}",
        str(settings.seed),
        f"{agent.timesteps:,} ({agent.games:,} games)",
        f"{agent.last:,.0f}, best {agent.best:,.0f}",
        agent.about["machine"],
    ]
    evaluations = []
    for name, result in agent.evaluations.items():
        low, high = result["mean_interval"]
        link = _link(agent.path / "evaluations" / name, f"{result['n']} games, {result['policy']}")
        evaluations.append(f"{result['mean']:,.0f} [{low:,.0f}, {high:,.0f}], best {result['best']:,.0f}: {link}")
    return [*training, "<br>".join(evaluations)]


def _model_row(model: Model) -> list[str]:
    settings, best = model.settings, model.best
    row = [
        _link(model.path), ", ".join(settings.data.specs), f"{model.parameters / 1e6:.1f}M", f"{model.images:,} images",
        str(settings.seed), model.about["machine"],
    ]  # fmt: skip
    if best is None:
        return [*row, "", ""]
    low, high = (100 * end for end in best["interval"])
    link = _link(model.path / "composition" / "composition.json", f"{best['images']} of {best['method']}")
    return [*row, f"{100 * best['share']:.1f} % [{low:.1f}, {high:.1f}]: {link}", f"{best['closeness']['frechet']:.1f}"]


def _peer_rows(agents: Sequence[Agent], peers: Sequence[dict[str, str]]) -> list[list[str]]:
    rows = [
        (_number(peer["score"]), [peer[key] for key in ("name", "score", "budget", "protocol", "source")])
        for peer in peers
    ]
    for agent in agents:
        budget, score = f"{agent.timesteps / 1e6:.1f}M steps", f"**{agent.last:,.0f}**"
        rows.append((agent.last, [f"**{agent.path.name}**", score, budget, "one seed, sticky 0.25", _link(agent.path)]))
    return [row for _, row in sorted(rows, key=lambda pair: pair[0])]


def _number(score: str) -> float:
    return float(score.split(" ")[0].replace(",", ""))


def _coursework_rows(agents: Sequence[Agent], coursework: dict[str, Any]) -> list[list[str]]:
    games: list[int] = coursework["games"]
    rows = []
    for agent in agents:
        cells = [f"**{agent.means[game]:,.0f}**" if game in agent.means else "" for game in games]
        rows.append([f"**{agent.path.name}**", *cells, f"{agent.last:,.0f} at the end"])
    for peer in coursework["rows"]:
        means = [f"{mean:,}" for mean in peer["means"]]
        rows.append([peer["name"], *means, *[""] * (len(games) - len(means)), peer["best"]])
    return rows


if __name__ == "__main__":
    main()
