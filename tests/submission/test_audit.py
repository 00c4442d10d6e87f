"""The audit: arithmetic by hand and by all small cases; altered logs that are found, genuine ones that are not."""

from __future__ import annotations

import io
import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest

from callbacks.marking_log import MARKING_LINE
from common.errors import UserError
from common.launch import LaunchSettings
from common.run_folder import RunFolder
from common.scores.log_order import MarkingWindow
from common.scores.logs import ScoreLog, parse_log
from common.traces import TracedEpisode, TraceHeader
from submission.audit.arithmetic import check_windows, is_possible
from submission.audit.audited import audit_log, replayed
from submission.audit.benchmark import BenchmarkSettings, benchmark
from submission.audit.command import audit
from submission.audit.convergence import compare, nonconformity
from submission.audit.evidence import Audit, Evidence
from submission.audit.rewards import significant_digits
from submission.audit.tampering import WAYS, marking_log
from submission.options import AuditSettings
from tests.forked_runs import forked_python
from tests.submission.made_runs import agent_run
from tests.submission.made_submissions import gravitar_log, gravitar_scores, walker_log, walker_rewards
from tests.traced_games import SHORT, header, random_game, write_run

OWN_RUN = Path(__file__).resolve().parents[2] / "results" / "gravitar" / "ppo-ram"
REAL_LOGS = Path(__file__).resolve().parents[3] / "shared" / "data" / "logs"


def parsed(text: str | list[str], name: str = "log.txt", folder: Path | None = None) -> ScoreLog:
    data = (text if isinstance(text, str) else "\n".join(text) + "\n").encode()
    path = (folder or Path("/nowhere")) / name
    if folder is not None:
        path.write_bytes(data)
    return parse_log(io.BytesIO(data), path)


def window(mean: float, std: float, size: int = 100) -> MarkingWindow:
    return MarkingWindow(100, 0.0, mean, std, size)


# --- arithmetic ---


def test_means_and_deviations_by_hand() -> None:
    # 100 scores in steps of 50: the mean is a multiple of 0.5.
    assert is_possible(window(198.5, float("nan")), [], 100)
    assert not is_possible(window(198.3, float("nan")), [], 100)
    # 0, 50 and 100: mean 50, deviation 50 sqrt(2 / 3) = 40.82.
    assert is_possible(window(50.0, 40.82), [], 3)
    assert not is_possible(window(50.0, 40.83), [], 3)
    # 50, 50, 50 has deviation 0; with a 100 among them the rest is 50 and 0.
    assert is_possible(window(50.0, 0.0), [50.0], 3)
    assert not is_possible(window(50.0, 0.0), [100.0], 3)
    assert is_possible(window(50.0, 40.82), [100.0, 0.0, 50.0], 3)
    assert not is_possible(window(50.0, 40.82), [100.0, 50.0, 50.0], 3)


def test_every_set_of_small_scores_is_possible_and_hardly_any_other_line() -> None:
    size = 4
    true = set()
    for scores in itertools.combinations_with_replacement(range(0, 250, 50), size):
        line = (f"{np.mean(scores):.2f}", f"{np.std(scores):.2f}")
        true.add(line)
        for known in range(size + 1):
            assert is_possible(window(float(line[0]), float(line[1])), scores[:known], size)
    # Deviations that no scores have: between two that some have.
    wrong = [(mean, f"{float(std) + 0.4:.2f}") for mean, std in true if (mean, f"{float(std) + 0.4:.2f}") not in true]
    found = sum(is_possible(window(float(mean), float(std)), [], size) for mean, std in wrong)
    assert found == 0


@pytest.mark.parametrize("every", [1, 5, 10, 100])
def test_genuine_lines_are_possible(every: int) -> None:
    for seed in range(5):
        checked = check_windows(parsed(marking_log(gravitar_scores(1501, seed), every)))
        assert len(checked) == 16 and all(one.possible for one in checked)


def test_a_window_shortened_by_a_restart_is_no_accusation() -> None:
    scores = gravitar_scores(401)
    lines = marking_log(scores[:201], 10)
    rest = scores[227:301]  # the 26 games before it were lost
    lines.append(MARKING_LINE.format(300, rest[-1], np.mean(rest), np.std(rest)))
    lines += [line for line in marking_log(scores, 10) if "episode: 4" in line and "episode: 40," not in line]
    result = audit_log(parsed(lines))
    assert not result.odd
    (note,) = [one for one in result.evidence if one.test == "lines"]
    assert note.chance == 1.0 and "fewer scores" in note.words and "restart" in note.otherwise
    assert "74 at 300" in note.words


def test_lines_that_show_scores_agree_with_the_windows_exactly() -> None:
    lines = marking_log(gravitar_scores(501), 1)
    assert not audit_log(parsed(lines)).odd
    place = next(k for k, line in enumerate(lines) if line.startswith("episode: 250,"))
    lines[place] = "episode: 250, score: 700.0, epsilon: 0.50"
    result = audit_log(parsed(lines))
    assert result.odd
    assert any(one.test == "lines" and one.episodes == (300,) for one in result.evidence)


def test_other_steps_and_scores_that_are_none() -> None:
    result = audit_log(parsed(gravitar_log(gravitar_scores(301) + 7)))
    assert any("no multiples of 50" in one.words for one in result.evidence)
    assert not audit_log(parsed(gravitar_log(gravitar_scores(301) / 50)), step=1).odd


# --- walkers ---


def test_rewards_never_repeat(tmp_path: Path) -> None:
    rewards = walker_rewards(600)
    assert not audit_log(parsed(walker_log(rewards), folder=tmp_path)).odd
    pasted = [*rewards[:300], *rewards[500:560], *rewards[360:]]
    result = audit_log(parsed(walker_log(pasted), folder=tmp_path))
    assert result.odd
    (found,) = result.evidence
    assert found.words.startswith("60 rewards stand there twice, the first at episodes 301 and 501; all 200 ")


def test_a_run_begun_again_with_its_seed_is_no_accusation(tmp_path: Path) -> None:
    rewards = walker_rewards(600)
    again = [*rewards[:200], *rewards[:40], *rewards[240:]]  # numbered on, the first 40 games the same
    result = audit_log(parsed(walker_log(again), folder=tmp_path))
    assert not result.odd
    assert "started again with its seed" in result.evidence[0].otherwise


def test_digits(tmp_path: Path) -> None:
    assert [significant_digits(text) for text in ("-95.22623172553806", "0.0012", "300.0", "1e-05")] == [16, 2, 4, 1]
    lines = walker_log(walker_rewards(600)).splitlines()
    changed = list(lines)
    changed[99] = "episode: 100, reward: 312.5"
    changed[100] = "episode: 101, reward: 312.54000000000002"
    result = audit_log(parsed(changed, folder=tmp_path))
    assert result.odd
    words = [one.words for one in result.evidence]
    assert "1 rewards have fewer than 12 digits, the first at episode 100" in words
    assert "1 rewards are not as Python prints them, the first at episode 101" in words
    # Where every reward is short, the recorder rounds; that is no evidence.
    short = [f"episode: {number}, reward: {reward:.2f}" for number, reward in enumerate(walker_rewards(600), 1)]
    assert audit_log(parsed(short, folder=tmp_path)).tests == []


def test_shared_beginnings_are_expected_and_shared_ends_are_not(tmp_path: Path) -> None:
    one, other = walker_rewards(600, 1), walker_rewards(600, 2)
    first = parsed(walker_log([*one[:40], *other[40:]]), "a.txt", tmp_path)
    second = parsed(walker_log(one), "b.txt", tmp_path)
    result = audit_log(first, others=[first, second])
    assert not result.odd
    assert result.evidence[0].words == "40 rewards up to episode 40 are those of b at the same episodes"
    third = parsed(walker_log([*other[:500], *one[400:500]]), "c.txt", tmp_path)
    result = audit_log(third, others=[second])
    assert result.odd
    assert "100 rewards are those of b, the first at episode 501 (there 401)" in result.evidence[0].words


# --- shape ---


def test_a_searched_game_among_learnt_ones_is_named() -> None:
    scores = gravitar_scores(1501, rise=0.05)
    assert not audit_log(parsed(marking_log(scores, 1))).odd
    scores[750] = 30_000.0  # its windows are computed with it, so the arithmetic is right
    result = audit_log(parsed(marking_log(scores, 1)))
    assert result.odd
    (found,) = [one for one in result.evidence if one.test == "outliers"]
    assert found.episodes == (750,) and "found by a search" in found.otherwise


def test_a_pasted_tail_is_a_jump() -> None:
    low, high = gravitar_scores(1001, rise=0.0), 50 * np.round((gravitar_scores(1001, 1, rise=0.0) + 900) / 50)
    result = audit_log(parsed(marking_log(np.concatenate([low[:601], high[601:]]), 10)))
    assert result.odd
    (found,) = [one for one in result.evidence if one.test == "jumps"]
    assert found.episodes == (700,)


# --- convergence ---


def test_conformal_p_by_hand() -> None:
    curves = np.array([[10.0, 10.0], [0.0, 0.0], [1.0, 1.0], [2.0, 2.0]])
    distances = nonconformity(curves)
    assert distances.argmax() == 0
    # Symmetric: the order of the others does not matter.
    assert nonconformity(curves[[0, 2, 3, 1]])[0] == pytest.approx(distances[0])
    logs = [parsed(marking_log(gravitar_scores(801, seed), 1), f"{seed}.txt") for seed in range(20)]
    odd = parsed(marking_log(gravitar_scores(801, 50) + 1500, 1))
    found = compare(odd, logs[1:])
    assert (found.p, found.smallest) == (1 / 20, 1 / 20)
    assert "p = 0.05 (at least 0.05)" in found.evidence().words
    # A log of the same kind has any p with the same chance: over many, their mean is near a half.
    values = [compare(log, [other for other in logs if other is not log]).p for log in logs]
    assert sorted(values) == pytest.approx(np.arange(1, 21) / 20)


def test_nothing_to_compare_with() -> None:
    log = parsed(marking_log(gravitar_scores(301), 1))
    with pytest.raises(UserError, match="no other training"):
        compare(log, [])
    late = parsed([f"episode: {number}, score: 50.0" for number in range(1000, 1400)])
    with pytest.raises(UserError, match="no episodes in common"):
        compare(log, [late])


# --- the result ---


def test_chances_are_combined_by_bonferroni() -> None:
    result = Audit("x")
    result.add("a", [Evidence("a", "", 0.004)])
    result.add("b", [])
    assert result.chance == 0.008
    result.add("c", [])
    assert result.chance == 0.012 and not result.odd
    assert "nothing that an untouched log" in result.likelihood


def test_every_way_of_altering_alters_only_what_it_says() -> None:
    generator = np.random.default_rng(0)
    marking = marking_log(gravitar_scores(1001), 10)
    agent = walker_log(walker_rewards(600)).splitlines()
    others = marking_log(gravitar_scores(1001, 1), 10), walker_log(walker_rewards(600, 1)).splitlines()
    for way in WAYS:
        for applies, lines in ((way.marking, marking), (way.agent, agent)):
            if applies:
                changed = way.change(lines, way.strengths[-1], others[lines is agent], generator)
                assert changed != lines
                assert len(parsed(changed).episodes) > 50


def test_the_benchmark_finds_altered_logs_and_names_no_genuine_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    benchmark(BenchmarkSettings((OWN_RUN,), logs=4, folder=tmp_path))
    rows = [[cell.strip() for cell in line.split("|")] for line in capsys.readouterr().out.splitlines()[2:]]
    shares = {(row[1], row[2]): row[3] for row in rows}
    assert shares["untouched, wrongly named", ""].startswith("0 of 20 [0.0%, 16.8%]")
    assert shares["means scaled", "1.1 times"] == "100%"
    assert shares["deviations smoothed", "9 lines"] == "100%"
    assert shares["digits edited", "10 numbers"] == "100%"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["gravitar_2020_a", "gravitar_2020_b", "walker_2021_a", "walker_2022_b"])
def test_real_logs_are_not_named(name: str) -> None:
    path = REAL_LOGS / f"{name}.txt"
    if not path.is_file():
        pytest.skip(f"the real log {name} is not there: {REAL_LOGS}")
    with path.open("rb") as stream:
        assert not audit_log(parse_log(stream, path)).odd


def test_the_projects_own_run_is_not_named() -> None:
    with RunFolder(OWN_RUN).marking_log.open("rb") as stream:
        result = audit_log(parse_log(stream, Path("own")))
    assert not result.odd and result.tests == ["lines", "shown scores", "jumps", "outliers"]


# --- the command ---


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = gravitar_log(gravitar_scores(901))
    (tmp_path / "good.txt").write_text(good)
    (tmp_path / "odd\x1b[31m.txt").write_text(re.sub(r"(mean_score: \d+)\.\d+", r"\1.13", good))
    (tmp_path / "binary.txt").write_bytes(b"\0\1\2")
    paths = tuple(sorted(tmp_path.glob("*.txt")))
    audit(AuditSettings(paths, output=tmp_path / "audit"))
    said = capsys.readouterr().out
    assert "not audited: " in said and "binary.txt is a binary file" in said
    assert "1 of 2 logs deserve a second look" in said
    content = json.loads((tmp_path / "audit" / "audit.json").read_text())
    assert [one["second look"] for one in content] == [False, True]
    assert content[1]["evidence"][0]["test"] == "lines"
    for one in content:
        assert (tmp_path / "audit" / one["figure"]).read_bytes().startswith(b"\x89PNG")
        assert "\x1b" not in one["figure"]


def test_a_folder_of_other_logs_gives_a_note(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "others" / "deep").mkdir(parents=True)
    for seed in range(4):
        text = gravitar_log(gravitar_scores(901, seed, rise=0.0))
        (tmp_path / "others" / "deep" / f"{seed}.txt").write_text(text)
    (tmp_path / "others" / "readme.txt").write_text("no log")
    (tmp_path / "good.txt").write_text(gravitar_log(gravitar_scores(901, 9, rise=2.0)))
    audit(AuditSettings((tmp_path / "good.txt",), others=tmp_path / "others", output=tmp_path / "audit"))
    assert "0 of 1 logs deserve a second look" in capsys.readouterr().out
    (result,) = json.loads((tmp_path / "audit" / "audit.json").read_text())
    (found,) = [one for one in result["evidence"] if one["test"] == "convergence"]
    assert "beside 4 other trainings p = 0.2 (at least 0.2)" in found["words"] and found["chance"] == 1.0


def test_replicates_are_trained_and_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", forked_python())
    run = agent_run(tmp_path / "runs", timesteps=3200)
    local = LaunchSettings("local", parallel=1)
    settings = AuditSettings((run,), replicates=1, code=run, output=tmp_path / "audit", replay=1, launch=local)
    audit(settings)
    (result,) = json.loads((tmp_path / "audit" / "audit.json").read_text())
    found = next(one for one in result["evidence"] if one["test"] == "convergence")
    assert "beside 1 other trainings" in found["words"] and "(at least 0.5)" in found["words"]
    replay = next(one for one in result["evidence"] if one["test"] == "replay")
    assert replay["words"].startswith("1 of ")
    # Those that are there are not trained again.
    capsys.readouterr()
    audit(settings)
    assert "started" not in capsys.readouterr().out


def test_traces_tell_of_scores_that_were_changed(tmp_path: Path) -> None:
    games = [random_game(seed, SHORT, number) for number, seed in enumerate((1, 2))]
    run = write_run(tmp_path / "run", header(SHORT), games)
    assert "2 of 2 games give the scores" in replayed(run, None)[0].words
    text = (run / "monitor.csv").read_text().splitlines()
    text[3] = "5000.0" + text[3][text[3].index(",") :]
    (run / "monitor.csv").write_text("\n".join(text) + "\n")
    (found,) = replayed(run, None)
    assert found.chance < 1e-3 and "monitor.csv says 5000 points" in found.words


def test_traces_of_environments_by_name_are_not_played(tmp_path: Path) -> None:
    game = TracedEpisode(0, 1.0, 1, random_game(1, SHORT).trace)
    run = write_run(tmp_path / "run", TraceHeader("evil_module:Env-v0", versions={}), [game])
    assert "not played" in replayed(run, None)[0].words


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"logs": ()}, "name logs"),
        ({"logs": (Path("/nowhere.txt"),)}, "none of the logs"),
        ({"replicates": 3}, "go together"),
        ({"others": Path("/nowhere")}, "is not a folder of logs"),
    ],
)
def test_bad_input(tmp_path: Path, options: dict[str, object], message: str) -> None:
    (tmp_path / "log.txt").write_text(gravitar_log(gravitar_scores(301)))
    with pytest.raises(UserError, match=message):
        audit(AuditSettings(**{"logs": (tmp_path / "log.txt",), "output": tmp_path / "audit", **options}))  # type: ignore[arg-type]
