"""The page of results is that of the files in results/."""

from __future__ import annotations

import yaml

from bench.results import PAGE, RESULTS, kept_agents, kept_models, page, read_agent, stages, table
from common.checkpoints import steps_of


def test_the_page_is_made_from_the_files_that_are_there() -> None:
    peers = yaml.safe_load((RESULTS / "peers.yml").read_text())
    assert PAGE.read_text() == page(kept_agents(), kept_models(), peers)


def test_an_agents_figures_are_those_of_its_files() -> None:
    folder = RESULTS / "gravitar" / "ppo-ram"
    agent = read_agent(folder, games=(100, 10_000, 20_000))
    scores = [float(line.split(",")[0]) for line in (folder / "monitor.csv").read_text().splitlines()[2:]]
    assert (agent.games, agent.best) == (len(scores), max(scores))
    assert agent.last == sum(scores[-100:]) / 100
    assert agent.means == {100: sum(scores[1:101]) / 100, 10_000: sum(scores[9_901:10_001]) / 100}


def test_a_training_in_stages_has_the_steps_and_games_of_all() -> None:
    first = read_agent(RESULTS / "gravitar" / "ppo-ram")
    last = RESULTS / "gravitar" / "ppo-ram-long"
    names = [stage.name for stage in stages(last)]
    assert names[0] == "ppo-ram" and names[-1] == "ppo-ram-long" and len(names) > 2
    lines = [(RESULTS / "gravitar" / name / "monitor.csv").read_text().splitlines()[2:] for name in names]
    scores = [float(line.split(",")[0]) for stage in lines for line in stage]
    whole = read_agent(last, games=(100, first.games + 50))
    assert (whole.games, whole.best) == (len(scores), max(scores))
    assert whole.means[100] == first.means[100]
    assert whole.last == sum(scores[-100:]) / 100
    between = [
        yaml.safe_load((RESULTS / "gravitar" / name / "about.yml").read_text())["timesteps"] for name in names[1:-1]
    ]
    (checkpoint,) = (last / "checkpoints").iterdir()
    assert whole.timesteps == first.timesteps + sum(between) + steps_of(checkpoint)


def test_a_table_has_a_line_for_each_row() -> None:
    assert table(("a", "b"), [("1", "2")]) == "| a | b |\n| --- | --- |\n| 1 | 2 |\n"
