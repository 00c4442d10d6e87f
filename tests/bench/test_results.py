"""The page of results is that of the files in results/."""

from __future__ import annotations

import yaml

from bench.results import PAGE, RESULTS, kept_agents, kept_models, page, read_agent, table


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


def test_a_training_in_two_stages_has_the_steps_and_games_of_both() -> None:
    first = read_agent(RESULTS / "gravitar" / "ppo-ram")
    both = read_agent(RESULTS / "gravitar" / "ppo-ram-long", games=(100, first.games + 50))
    lines = (RESULTS / "gravitar" / "ppo-ram-long" / "monitor.csv").read_text().splitlines()[2:]
    scores = [float(line.split(",")[0]) for line in lines]
    assert both.games == first.games + len(scores)
    assert both.means[100] == first.means[100]
    assert both.last == sum(scores[-100:]) / 100
    assert both.timesteps > first.timesteps


def test_a_table_has_a_line_for_each_row() -> None:
    assert table(("a", "b"), [("1", "2")]) == "| a | b |\n| --- | --- |\n| 1 | 2 |\n"
