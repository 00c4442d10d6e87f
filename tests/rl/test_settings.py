"""Flags and the settings that they resolve to: defaults, presets, precedence, settings.yml, and every mistake."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml

from common.errors import UserError
from rl.envs.make_env import EnvironmentSettings
from rl.envs.protocols import PROTOCOLS, Protocol
from rl.options import TrainSettings
from rl.settings import PRESETS, RunSettings, resolve
from rl.zoo.config import ATARI_ALGORITHMS, ZooHyperparameters, parse_block


def settings(**flags: Any) -> RunSettings:
    return resolve(TrainSettings(**{"device": "cpu", **flags}))


def protocol_of(**flags: Any) -> Protocol:
    return settings(**flags).environment.protocol


# Defaults and presets.


def test_defaults_are_the_assignments_game_seen_as_ram() -> None:
    run = settings()
    assert (run.algo, run.seed, run.name, run.episodes) == ("ppo", 742, "ppo-ram-742", None)
    assert (run.environment.env_id, run.environment.obs) == ("ALE/Gravitar-v5", "ram")
    assert run.environment.protocol == PROTOCOLS["ram"]
    assert (run.n_envs, run.timesteps) == (32, 6_000_000)  # rl_zoo_configs/ppo.yml
    assert run.parsed.algorithm["gamma"] == 0.995
    # lin_3e-4 at the beginning, half-way and at the end.
    schedule = run.parsed.algorithm["learning_rate"]
    assert [schedule(share) for share in (1.0, 0.5, 0.0)] == pytest.approx([3e-4, 1.5e-4, 0])


def test_pixels_are_atari_wrappers_with_the_ids_sticky_actions() -> None:
    assert protocol_of(obs="pixels") == Protocol(
        frame_skip=4, sticky=0.25, noop_max=30, fire_reset=True, life_loss_terminal=True, reward="clip", frame_stack=4
    )


def test_the_observation_of_an_id_of_its_own() -> None:
    assert settings(env="Gravitar-ram-v0").environment.obs == "ram"
    assert settings(env="GravitarNoFrameskip-v4").environment.obs == "pixels"


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("algo", [None, *ATARI_ALGORITHMS])
def test_presets_resolve_for_every_algorithm(preset: str, algo: str | None) -> None:
    run = settings(preset=preset, algo=algo)
    row = PRESETS[preset]
    assert run.algo == (algo or row["algo"])
    assert run.environment.obs == row["obs"]
    assert run.timesteps == row["timesteps"]
    assert run.n_envs == run.parsed.n_envs and run.timesteps == run.parsed.n_timesteps
    if "protocol" in row:
        assert run.environment.protocol == PROTOCOLS[row["protocol"]]


@pytest.mark.parametrize("obs", ["pixels", "ram"])
@pytest.mark.parametrize("algo", ATARI_ALGORITHMS)
def test_every_algorithm_has_hyperparameters_for_every_observation(algo: str, obs: str) -> None:
    run = settings(algo=algo, obs=obs)
    assert (run.algo, run.environment.obs) == (algo, obs)
    assert run.name == f"{algo}-{obs}-742"


def test_the_coursework_preset_plays_gravitar_v0() -> None:
    # Frame skip drawn from 2 to 4, sticky actions 0.25: the emulator settings of the assignment's starter.
    chosen = protocol_of(preset="coursework")
    assert (chosen.frame_skip, chosen.sticky) == (PROTOCOLS["assignment"].frame_skip, 0.25)


def test_ppos_rollout_length_is_not_dqns_return_length() -> None:
    # n_steps is the length of a rollout in PPO and the number of rewards in a return in DQN and QR-DQN.
    for algo in ("dqn", "qrdqn"):
        configured = settings(algo=algo).hyperparameters["n_steps"]
        assert settings(preset="smoke", algo=algo).hyperparameters["n_steps"] == configured


# Precedence: flags, then the protocol, then the configuration.


def test_an_explicit_flag_beats_the_protocol_and_the_protocol_beats_the_configuration() -> None:
    # The configuration of pixels says no-ops 30, fire, life-loss terminals, clipped rewards, a stack of 4.
    assert protocol_of(obs="pixels", protocol="machado") == PROTOCOLS["machado"]
    assert protocol_of(obs="ram", protocol="nature") == PROTOCOLS["nature"]
    assert protocol_of(obs="pixels", protocol="nature", sticky=0.5, noop_max=7, life_loss=False, reward="sqrt:10",
                       frame_stack=2, frame_skip="2-3") == Protocol(
        frame_skip=(2, 4), sticky=0.5, noop_max=7, life_loss_terminal=False, reward="sqrt:10", frame_stack=2
    )  # fmt: skip
    # A flag that says 0 or no counts, too.
    assert protocol_of(obs="pixels", protocol="nature", noop_max=0).noop_max == 0
    assert protocol_of(obs="pixels", protocol="machado", sticky=0.0).sticky == 0.0
    assert protocol_of(obs="pixels", life_loss=False).life_loss_terminal is False
    assert protocol_of(obs="pixels", noop_max=0).noop_max == 0


def test_a_flag_beats_a_preset() -> None:
    run = settings(preset="literature", algo="qrdqn", obs="ram", protocol="nature", timesteps=123, n_envs=3, seed=5)
    assert (run.algo, run.environment.obs, run.timesteps, run.n_envs, run.seed) == ("qrdqn", "ram", 123, 3, 5)
    assert run.environment.protocol == PROTOCOLS["nature"]
    assert protocol_of(preset="literature", sticky=0.1) == dataclasses.replace(PROTOCOLS["machado"], sticky=0.1)


def test_a_hyperparameter_that_is_set_beats_the_preset_and_the_configuration() -> None:
    run = settings(set=("gamma=0.9", "learning_rate=lin_1e-4", "n_epochs=3"))
    assert (run.parsed.algorithm["gamma"], run.parsed.algorithm["n_epochs"]) == (0.9, 3)
    assert run.parsed.algorithm["learning_rate"](1.0) == pytest.approx(1e-4)
    assert settings(preset="smoke", set=("n_steps=32",)).hyperparameters["n_steps"] == 32
    run = settings(preset="smoke", set=("n_envs=4", "n_timesteps=512"))
    assert (run.n_envs, run.timesteps) == (4, 512)


def test_frame_skips() -> None:
    assert protocol_of(frame_skip="1").frame_skip == 1
    assert protocol_of(frame_skip="2-4").frame_skip == (2, 5)


def test_the_block_is_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = []

    def counting(block: Any, algo: str, where: str) -> ZooHyperparameters:
        blocks.append(where)
        return parse_block(block, algo, where)

    monkeypatch.setattr("rl.settings.parse_block", counting)
    settings = resolve(TrainSettings())
    assert settings.parsed.algorithm["batch_size"] == settings.hyperparameters["batch_size"]
    assert len(blocks) == 1
    longer = settings.with_budget(2 * settings.timesteps, None)
    assert longer.parsed.n_timesteps == 2 * settings.timesteps, "changed settings are parsed anew"


def test_a_configuration_of_the_users_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.yml"
    path.write_text("default:\n  policy: MlpPolicy\n  n_timesteps: 50\n  n_envs: 2\n  gamma: 0.5\n")
    run = settings(env="CartPole-v1", config=path)
    assert run.environment == EnvironmentSettings("CartPole-v1", "vector", Protocol(frame_stack=1))
    assert (run.timesteps, run.n_envs, run.parsed.algorithm) == (50, 2, {"gamma": 0.5})
    assert run.source == f"{path}, block 'default'"


# The file in the run folder.


@pytest.mark.parametrize(
    "flags",
    [
        {},
        {"obs": "pixels", "algo": "qrdqn", "episodes": 40, "name": "b.2"},
        {
            "env": "Gravitar-ram-v0",
            "preset": "smoke",
            "frame_skip": "2-4",
            "set": ("policy_kwargs=dict(net_arch=[64])",),
        },
        {"env": "GravitarNoFrameskip-v4", "algo": "dqn", "life_loss": False},
    ],
)
def test_settings_come_back_from_their_file(tmp_path: Path, flags: dict[str, Any]) -> None:
    run = dataclasses.replace(settings(**flags), versions={"numpy": "2.0"}, git_commit="abc+changes")
    path = tmp_path / "settings.yml"
    path.write_text(run.to_yaml())
    again = RunSettings.from_yaml(path)
    assert again == run
    assert again.to_yaml() == run.to_yaml()
    assert again.parsed.algorithm.keys() == run.parsed.algorithm.keys()
    # Plain YAML: no tags of Python's.
    assert "!!" not in run.to_yaml()
    assert yaml.safe_load(run.to_yaml())["environment"]["protocol"]["sticky"] == run.environment.protocol.sticky


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is not a run folder: cannot read settings.yml"),
        (b"", "does not hold a run's settings"),
        (b"- 1\n- 2\n", "does not hold a run's settings"),
        (b"just words", "does not hold a run's settings"),
        (b"algo: ppo\n", "does not hold a run's settings"),
        (b"algo: [1, 2\n", "is not valid YAML"),
        (b"\xff\xfe\x00binary", "is not valid YAML"),
        (b"algo: !!python/object/apply:os.system ['false']\n", "is not valid YAML"),
    ],
)
def test_files_that_hold_no_settings(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "settings.yml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        RunSettings.from_yaml(path)
    assert error.value.status == 2 and "\n" not in str(error.value)
    assert str(tmp_path) in str(error.value)


def test_a_file_with_a_key_too_many_or_too_few(tmp_path: Path) -> None:
    path = tmp_path / "settings.yml"
    content = yaml.safe_load(settings().to_yaml())
    environment = {**content["environment"], "protocol": {"frame_skip": 4, "x": 1}}
    for change in ({"colour": "red"}, {"environment": environment}):
        path.write_text(yaml.safe_dump({**content, **change}))
        with pytest.raises(UserError, match="does not hold a run's settings"):
            RunSettings.from_yaml(path)
    del content["seed"]
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(UserError, match=r"does not hold a run's settings .*seed"):
        RunSettings.from_yaml(path)


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        ("n_envs", 0, "--n-envs must be at least 1, not 0"),
        ("n_envs", 10**9, "--n-envs 1000000000: at most 4096"),
        ("threads", -3, "--threads must be at least 1, not -3"),
        ("threads", 10**9, "--threads 1000000000: at most 256"),
        ("timesteps", 0, "--timesteps must be at least 1, not 0"),
        ("episodes", 0, "--episodes must be at least 1, not 0"),
        ("seed", -5, "--seed must be 0 or more, not -5"),
        ("video_every", -1, "--video-every must be 0 or more, not -1"),
        ("predicted_q", -1, "--predicted-q must be 0 or more, not -1"),
        ("self_imitation", -1, "--self-imitation must be 0 or more, not -1"),
        ("starts_envs", 99, r"99 of \d+ environments begin from --starts"),
        ("device", "toaster", "there is no device 'toaster'"),
        ("hyperparameters", {}, r"the key '\w+' is missing"),
        ("environment.obs", "smell", "unknown observation 'smell'"),
        ("environment.protocol.frame_skip", 0, "a frame skip of 0"),
        ("environment.protocol.frame_skip", [3, 2], r"a frame skip of \(3, 2\)"),
        ("environment.protocol.frame_stack", 0, "--frame-stack must be at least 1, not 0"),
        ("environment.protocol.frame_stack", 10**9, "--frame-stack 1000000000: at most 64"),
        ("environment.protocol.sticky", 9.0, "--sticky is a probability from 0 to 1, not 9"),
        ("environment.protocol.noop_max", -1, "--noop-max must be 0 or more, not -1"),
        ("environment.protocol.noop_max", 10**9, "--noop-max 1000000000: at most 10000"),
        ("environment.protocol.screen_size", 0, "screen_size must be at least 1, not 0"),
        ("environment.protocol.max_frames", 0, "max_frames must be at least 1, not 0"),
        ("environment.protocol.reward", "banana", "reward 'banana' is none of raw"),
    ],
)
def test_a_file_with_a_number_out_of_range(tmp_path: Path, place: str, value: Any, words: str) -> None:
    path = tmp_path / "settings.yml"
    content = yaml.safe_load(settings().to_yaml())
    *above, name = place.split(".")
    part = content
    for key in above:
        part = part[key]
    assert name in part
    part[name] = value
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(UserError, match=rf"settings\.yml does not hold a run's settings \(.*{words}"):
        RunSettings.from_yaml(path)


# Mistakes.


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"algo": "qr-dqn"}, r"unknown algorithm 'qr-dqn' \(known: ppo, qrdqn, dqn, .*\); did you mean 'qrdqn'"),
        ({"algo": "PPO"}, "unknown algorithm 'PPO' .*did you mean 'ppo'"),
        ({"env": "ALE/Gravitar-v6"}, "unknown environment 'ALE/Gravitar-v6'; did you mean 'ALE/Gravitar-v5'"),
        ({"env": "Gravitar-ram-v9"}, "unknown environment 'Gravitar-ram-v9'; did you mean 'Gravitar-ram-v"),
        ({"preset": "demmo"}, "unknown preset 'demmo' .*did you mean 'demo'"),
        ({"obs": "pixel"}, "unknown observation 'pixel' .*did you mean 'pixels'"),
        ({"protocol": "nture"}, "unknown protocol 'nture' .*did you mean 'nature'"),
        ({"reward": "cliip"}, "reward 'cliip' is none of raw, clip, scale:D, sqrt:D"),
        ({"set": ("learnin_rate=1e-4",)}, "unknown key 'learnin_rate' for ppo; did you mean 'learning_rate'"),
        ({"set": ("learning_rate=lin_fast",)}, "learning_rate.*lin_fast"),
        ({"set": ("learning_rate=linear_1e-4",)}, "learning_rate.*linear_1e-4"),
        ({"set": ("gamma",)}, "--set gamma: write KEY=VALUE"),
        ({"set": ("=1",)}, "--set =1: write KEY=VALUE"),
        ({"set": ("gamma=[1",)}, r"--set gamma=\[1: the value is not valid YAML"),
        ({"set": ("gamma=!!int ''",)}, r"--set gamma=!!int '': the value is not valid YAML"),
        ({"set": ("gamma=high",)}, "gamma.*high"),
        ({"set": ("device=cuda",)}, "'device' is set on the command line"),
        ({"set": ("policy=CnnPolice",)}, "unknown policy 'CnnPolice' for ppo; did you mean 'CnnPolicy'"),
        ({"set": ("policy_kwargs=__import__('os')",)}, "policy_kwargs"),
        ({"n_envs": 0}, "--n-envs must be at least 1, not 0"),
        ({"n_envs": 100_000}, "--n-envs 100000: at most 4096"),
        ({"set": ("n_envs=100000",)}, "--n-envs 100000: at most 4096"),
        ({"frame_stack": 100_000}, "--frame-stack 100000: at most 64"),
        ({"noop_max": 99_999_999}, "--noop-max 99999999: at most 10000"),
        ({"threads": 0}, "--threads must be at least 1, not 0"),
        ({"threads": 300}, "--threads 300: at most 256"),
        ({"checkpoint_minutes": -1.0}, "--checkpoint-minutes must be 0 or more, not -1"),
        ({"n_envs": -3}, "--n-envs must be at least 1, not -3"),
        ({"exploration": "independent"}, "--exploration is for DQN and QR-DQN on an Atari game; add --algo dqn"),
        ({"set": ("n_envs=0",)}, "n_envs.*0"),
        ({"set": ("n_steps=1000000000000",)}, "--set n_steps 1000000000000: at most 10000000"),
        ({"set": ("n_steps=1e12",)}, "n_steps must be a whole number, not '1e12'"),
        ({"timesteps": -5}, "--timesteps must be at least 1, not -5"),
        ({"timesteps": 0}, "--timesteps must be at least 1, not 0"),
        ({"episodes": -1}, "--episodes must be at least 1, not -1"),
        ({"episodes": 3, "timesteps": 3}, "give either --timesteps or --episodes, not both"),
        ({"set": ("n_timesteps=-1",)}, "n_timesteps.*-1"),
        ({"seed": -1}, "--seed must be 0 or more, not -1"),
        ({"frame_stack": 0}, "--frame-stack must be at least 1, not 0"),
        ({"checkpoint_every": 0}, "--checkpoint-every must be at least 1, not 0"),
        ({"video_every": -1}, "--video-every must be 0 or more, not -1"),
        ({"noop_max": -1}, "--noop-max must be 0 or more, not -1"),
        ({"sticky": 1.5}, "--sticky is a probability from 0 to 1, not 1.5"),
        ({"sticky": float("nan")}, "--sticky is a probability from 0 to 1, not nan"),
        ({"frame_skip": "0"}, "--frame-skip 0: write a number of frames"),
        ({"frame_skip": "4-2"}, "--frame-skip 4-2: write a number of frames"),
        ({"frame_skip": "many"}, "--frame-skip many: write a number of frames"),
        ({"env": "CartPole-v1", "obs": "ram"}, "CartPole-v1 is not an Atari game and has no observation 'ram'"),
        ({"env": "Gravitar-ram-v0", "obs": "pixels"}, "Gravitar-ram-v0 has no observation 'pixels'; choose --obs ram"),
        ({"env": "CartPole-v1"}, "no hyperparameters for CartPole-v1"),
        ({"device": "cuda:99"}, "device 'cuda:99' cannot be used here; choose --device cpu or auto"),
        ({"device": "gpu"}, "device 'gpu' cannot be used here"),
        ({"name": "../elsewhere"}, "--name '../elsewhere': use letters, digits"),
        ({"name": "a b"}, "--name 'a b': use letters, digits"),
        ({"name": "-x"}, "--name '-x': use letters, digits"),
    ],
)
def test_mistakes_are_one_line_with_the_nearest_name(flags: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        settings(**flags)
    assert error.value.status == 2
    assert "\n" not in str(error.value)


BLOCK = "Gravitar-ram-v0:\n  policy: MlpPolicy\n  n_timesteps: 100\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read the configuration"),
        (b"", "must be a mapping of environment ids"),
        (b"- a\n- b\n", "must be a mapping of environment ids"),
        (b"42", "must be a mapping of environment ids"),
        (b"Gravitar-ram-v0: 3\n", "block 'Gravitar-ram-v0': a block must be a mapping"),
        (b"Gravitar-ram-v0: [1\n", "not valid YAML"),
        (b"\xff\xfe\x00", "not valid YAML"),
        ((BLOCK + "  batch_sise: 3\n").encode(), "unknown key 'batch_sise' for ppo; did you mean 'batch_size'"),
        ((BLOCK + "  learning_rate: lin_\n").encode(), "learning_rate.*lin_"),
        ((BLOCK + "  n_envs: 0\n").encode(), "n_envs.*0"),
        ((BLOCK + "  normalize: true\n").encode(), "'normalize' .*cannot be used in training here"),
    ],
)
def test_mistakes_in_a_configuration(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "mine.yml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        settings(config=path)
    assert error.value.status == 2
    assert "\n" not in str(error.value) and str(path) in str(error.value)


def test_no_videos_and_long_seeds_are_allowed() -> None:
    assert settings(video_every=0).video_every == 0
    assert settings(seed=2**31).seed == 2**31
