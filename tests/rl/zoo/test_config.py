"""Our own hyperparameter files, the choice of a block, and every kind of mistake in a configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import gymnasium
import pytest
import torch
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.her.her_replay_buffer import HerReplayBuffer
from torch import nn

from common.errors import UserError
from rl import registration  # noqa: F401  registers the RAM ids
from rl.named_classes import NamedCall
from rl.wrappers import RamBits
from rl.zoo.config import ATARI_ALGORITHMS, ZooHyperparameters, load_config, parse_block, select_block
from rl.zoo.literals import parse_expression

CONFIGS = Path(__file__).parents[3] / "rl_zoo_configs"
ATARI_WRAPPER = "stable_baselines3.common.atari_wrappers.AtariWrapper"
GRAVITAR_RAM: tuple[NamedCall, ...] = (("rl.wrappers.RamBits", {}), ("rl.wrappers.ScaleReward", {"divisor": 250}))
QRDQN_RAM = {"n_quantiles": 50, "optimizer_class": torch.optim.Adam, "optimizer_kwargs": {"eps": 1e-5}}
MINIMAL = {"n_timesteps": 1000, "policy": "MlpPolicy"}


def ours(algo: str, env_id: str, obs: Literal["pixels", "ram"]) -> tuple[str, ZooHyperparameters]:
    path = CONFIGS / f"{algo}.yml"
    key, block = select_block(load_config(path), env_id, obs, path)
    return key, parse_block(block, algo, f"{path.name}, block '{key}'")


def parse(algo: str = "ppo", **changes: Any) -> ZooHyperparameters:
    return parse_block({**MINIMAL, **changes}, algo, "my.yml, block 'x'")


def test_ppo_on_pixels() -> None:
    key, values = ours("ppo", "ALE/Gravitar-v5", "pixels")
    assert key == "ALE/Gravitar-v5"
    assert (values.n_envs, values.n_timesteps, values.frame_stack) == (8, 10_000_000, 4)
    assert values.policy == "CnnPolicy"
    assert values.env_wrapper == ((ATARI_WRAPPER, {}),)
    assert values.env_kwargs == {"frameskip": 1}
    assert values.normalize is None
    schedules = {name: values.algorithm.pop(name) for name in ("learning_rate", "clip_range")}
    assert [schedules["learning_rate"](left) for left in (1.0, 0.5, 0.0)] == pytest.approx([2.5e-4, 1.25e-4, 0.0])
    assert [schedules["clip_range"](left) for left in (1.0, 0.25, 0.0)] == pytest.approx([0.1, 0.025, 0.0])
    assert values.algorithm == {
        "n_steps": 128,
        "n_epochs": 4,
        "batch_size": 256,
        "gamma": 0.99,
        "gae_lambda": 0.95,
        "vf_coef": 0.5,
        "ent_coef": 0.01,
    }


def test_ppo_on_ram() -> None:
    key, values = ours("ppo", "ALE/Gravitar-v5", "ram")
    assert key == "Gravitar-ram-v0"
    assert (values.n_envs, values.n_timesteps, values.frame_stack) == (32, 6_000_000, None)
    assert values.env_wrapper == GRAVITAR_RAM
    assert values.algorithm.pop("learning_rate")(1.0) == 3e-4
    assert values.algorithm == {
        "policy_kwargs": {"net_arch": [512, 512]},
        "n_steps": 128,
        "n_epochs": 4,
        "batch_size": 1024,
        "gamma": 0.995,
        "gae_lambda": 0.95,
        "clip_range": 0.1,
        "vf_coef": 0.5,
        "ent_coef": 0.01,
    }


@pytest.mark.parametrize(
    ("algo", "learning_rate", "policy_kwargs", "target"),
    [("qrdqn", 5e-5, {"n_quantiles": 200}, 10_000), ("dqn", 1e-4, None, 1000)],
)
def test_dqn_family_on_pixels(
    algo: str, learning_rate: float, policy_kwargs: dict[str, int] | None, target: int
) -> None:
    _, values = ours(algo, "PongNoFrameskip-v4", "pixels")
    assert (values.n_envs, values.frame_stack, values.policy) == (8, 4, "CnnPolicy")
    assert values.algorithm["learning_rate"] == learning_rate
    assert values.algorithm.get("policy_kwargs") == policy_kwargs
    assert values.algorithm["target_update_interval"] == target
    assert values.algorithm["replay_buffer_kwargs"] == {"handle_timeout_termination": False}
    # 32 samples twice for 8 agent steps: each is used 8 times on average, as in the paper.
    assert values.algorithm["train_freq"] == 1
    assert 32 * values.algorithm["gradient_steps"] / (values.n_envs * values.algorithm["train_freq"]) == 8
    # One byte for each of 84 x 84 x 4 pixels: the memory fits a laptop.
    assert values.algorithm["optimize_memory_usage"] is True
    assert values.algorithm["buffer_size"] * 84 * 84 * 4 < 3e9


@pytest.mark.parametrize(("algo", "extra"), [("qrdqn", QRDQN_RAM), ("dqn", {})])
def test_dqn_family_on_ram(algo: str, extra: dict[str, Any]) -> None:
    key, values = ours(algo, "Gravitar-ram-v0", "ram")
    assert key == "Gravitar-ram-v0"
    assert (values.n_envs, values.n_timesteps) == (8, 2_000_000)
    assert values.env_wrapper == GRAVITAR_RAM
    assert values.algorithm["policy_kwargs"] == {"net_arch": [512, 512], **extra}
    assert values.algorithm["n_steps"] == 3
    # 64 samples once for 8 agent steps: each is used 8 times on average.
    assert values.algorithm["batch_size"] == 64
    assert (values.algorithm["train_freq"], values.algorithm["gradient_steps"]) == (1, 1)


@pytest.mark.parametrize("algo", ATARI_ALGORITHMS)
def test_other_games_get_clipped_rewards(algo: str) -> None:
    key, values = ours(algo, "ALE/Breakout-v5", "ram")
    assert key == "atari-ram"
    assert [name for name, _ in values.env_wrapper] == [
        "rl.wrappers.RamBits",
        "stable_baselines3.common.atari_wrappers.ClipRewardEnv",
    ]
    assert ours(algo, "PongNoFrameskip-v4", "pixels")[0] == "atari"


@pytest.mark.filterwarnings("ignore:.*out of date", "ignore:.*mini-batch")
@pytest.mark.parametrize("algo", ATARI_ALGORITHMS)
def test_the_values_build_a_model_on_the_bits(algo: str) -> None:
    _, values = ours(algo, "ALE/Gravitar-v5", "ram")
    env = RamBits(gymnasium.make("Gravitar-ram-v0"))
    small = {"buffer_size": 10} if "buffer_size" in values.algorithm else {}
    model = ATARI_ALGORITHMS[algo](values.policy, env, device="cpu", **{**values.algorithm, **small})
    inputs = [module.in_features for module in model.policy.modules() if isinstance(module, nn.Linear)]
    assert inputs[:2] == [1024, 512]
    env.close()


def test_policy_arguments_are_read_from_text() -> None:
    text = """dict(net_arch=dict(pi=[256, 2**5], vf=[256]),
                   activation_fn=nn.ReLU, ortho_init=False, log_std_init=-2,
                   optimizer_class=torch.optim.Adam, optimizer_kwargs=dict(eps=1e-3*2),
                   features_extractor_class=stable_baselines3.common.torch_layers.FlattenExtractor)"""
    found = parse(policy_kwargs=text).algorithm["policy_kwargs"]
    assert found["net_arch"] == {"pi": [256, 32], "vf": [256]}
    assert found["activation_fn"] is nn.ReLU
    assert found["ortho_init"] is False
    assert found["log_std_init"] == -2.0
    assert found["optimizer_class"] is torch.optim.Adam
    assert found["optimizer_kwargs"] == {"eps": 0.002}
    assert found["features_extractor_class"].__name__ == "FlattenExtractor"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{'norm_obs': False, 'norm_reward': True}", {"norm_obs": False, "norm_reward": True}),
        ("dict(shape=(64, 64), name='a', none=None)", {"shape": (64, 64), "name": "a", "none": None}),
        ("[1 + 2, 7 // 2, 3 / 2, -(2 - 5), +4]", [3, 3, 1.5, 3, 4]),
        ("th.nn.Tanh", nn.Tanh),
        ("torch.nn.ELU", nn.ELU),
        ("th.optim.RMSprop", torch.optim.RMSprop),
        ("HerReplayBuffer", HerReplayBuffer),
        ("rl.wrappers.RamBits", RamBits),
    ],
)
def test_expressions(text: str, value: Any) -> None:
    assert parse_expression(text, "x") == value


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "lambda: 1",
        "[x for x in (1, 2)]",
        "dict(a=1)['a']",
        "dict([('a', 1)])",
        "dict(**dict(a=1))",
        "[*(1, 2)]",
        "open('x')",
        "().__class__.__bases__",
        "nn.ReLU.__init__.__globals__",
        "nn.functional.relu",
        "nn.Modul",
        "nn.init",
        "nn.modules.ReLU",
        "torch.load",
        "torch.optim.lr_scheduler.LambdaLR",
        "torch.serialization.os",
        "os.system",
        "subprocess.Popen",
        "stable_baselines3.common.utils.os",
        "stable_baselines3.common.utils.set_random_seed",
        "gymnasium.logger.warnings.catch_warnings",
        "True and False",
        "1 if True else 2",
        "'a' * 9",
        "9 ** 9 ** 9",
        "10 ** -400 * 1e300 ** 2",
        "1 / 0",
        "(-1) ** 0.5",
        "f'{1}'",
        "b'bytes'",
        "1j",
        "...",
        "(a := 1)",
        "{1: 2}",
        "{**{}}",
        "{1, 2}",
        "1; 2",
        "dict(",
        "",
        "\0",
        "(" * 5000,
        "-" * 9000 + "1",
    ],
)
def test_everything_else_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"^my\.yml, policy_kwargs: "):
        parse_expression(text, "my.yml, policy_kwargs")


def test_values_are_converted_as_in_the_zoo() -> None:
    values = parse("dqn", train_freq=[1, "step"], n_timesteps="5000", buffer_size=1e5, learning_rate=1)
    assert values.algorithm["train_freq"] == (1, "step")
    assert values.n_timesteps == 5000
    assert values.algorithm["buffer_size"] == 100_000 and isinstance(values.algorithm["buffer_size"], int)
    assert values.algorithm["learning_rate"] == 1.0


def test_normalize() -> None:
    assert parse(normalize=True, gamma=0.9).normalize == {"gamma": 0.9}
    assert parse(normalize=True).normalize == {}
    assert parse(normalize=False, gamma=0.9).normalize is None
    assert parse(normalize="dict(norm_obs=True, norm_reward=False)").normalize == {
        "norm_obs": True,
        "norm_reward": False,
    }


def test_wrappers_and_callbacks_are_named_but_not_imported() -> None:
    values = parse(
        env_wrapper=["not_installed.A", {"not_installed.B": {"k": 1}}],
        vec_env_wrapper="not_installed.C",
        callback={"not_installed.D": {}},
    )
    assert values.env_wrapper == (("not_installed.A", {}), ("not_installed.B", {"k": 1}))
    assert values.vec_env_wrapper == (("not_installed.C", {}),)
    assert values.callback == (("not_installed.D", {}),)
    assert parse(env_wrapper=None).env_wrapper == ()


def test_a_policy_by_its_full_name() -> None:
    assert parse(policy="stable_baselines3.common.policies.ActorCriticPolicy").policy is ActorCriticPolicy


@pytest.mark.parametrize(
    ("env_id", "obs", "keys", "chosen"),
    [
        ("ALE/Gravitar-v5", "pixels", "ALE/Gravitar-v5 atari default", "ALE/Gravitar-v5"),
        ("ALE/Gravitar-v5", "pixels", "atari default", "atari"),
        ("GravitarNoFrameskip-v4", "pixels", "Gravitar-ram-v0 atari", "atari"),
        ("CartPole-v1", "pixels", "atari default", "default"),
        ("CartPole-v1", "pixels", "CartPole-v1 default", "CartPole-v1"),
        ("ALE/Gravitar-v5", "ram", "ALE/Gravitar-v5 Gravitar-ram-v0 atari-ram", "Gravitar-ram-v0"),
        ("GravitarNoFrameskip-v4", "ram", "Gravitar-ram-v0 atari-ram", "Gravitar-ram-v0"),
        (
            "Gravitar-ramNoFrameskip-v4",
            "ram",
            "Gravitar-ramNoFrameskip-v4 Gravitar-ram-v0",
            "Gravitar-ramNoFrameskip-v4",
        ),
        ("ALE/Pong-v5", "ram", "ALE/Pong-v5 Gravitar-ram-v0 atari-ram", "atari-ram"),
    ],
)
def test_choice_of_the_block(env_id: str, obs: Literal["pixels", "ram"], keys: str, chosen: str) -> None:
    config = {key: {"marker": key} for key in keys.split()}
    assert select_block(config, env_id, obs, Path("my.yml")) == (chosen, {"marker": chosen})


@pytest.mark.parametrize(
    ("env_id", "obs", "keys", "message"),
    [
        (
            "ALE/Pong-v5",
            "ram",
            "ALE/Pong-v5",
            "my.yml: no hyperparameters for ALE/Pong-v5 with ram (looked for Pong-ram-v0",
        ),
        ("CartPole-v1", "pixels", "CartPole-v0", "did you mean 'CartPole-v0'?"),
        ("Gravitar-ram-v0", "pixels", "atari", "Gravitar-ram-v0 shows RAM, not pixels"),
    ],
)
def test_no_block(env_id: str, obs: Literal["pixels", "ram"], keys: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        select_block({key: {} for key in keys.split()}, env_id, obs, Path("my.yml"))
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_step": 5}, "unknown key 'n_step' for ppo; did you mean 'n_steps'?"),
        ({"n_env": 5}, "unknown key 'n_env' for ppo; did you mean 'n_envs'?"),
        ({"buffer_size": 5}, "unknown key 'buffer_size' for ppo"),
        ({5: 5}, "unknown key '5' for ppo"),
        ({"seed": 1}, "'seed' is set on the command line"),
        ({"n_envs": "many"}, "n_envs must be a whole number, not 'many'"),
        ({"n_envs": 0}, "n_envs must be at least 1, not 0"),
        ({"n_envs": True}, "n_envs must be a whole number, not True"),
        ({"n_timesteps": -5}, "n_timesteps must be at least 1, not -5"),
        ({"n_timesteps": "1e6"}, "not '1e6' (YAML reads 1e6 as a text: write !!float 1e6)"),
        ({"n_timesteps": 1.5}, "n_timesteps must be a whole number, not 1.5"),
        ({"n_timesteps": None}, "n_timesteps must be a whole number, not None"),
        ({"gamma": 2.0}, "gamma must be at least 0 and at most 1, not 2"),
        ({"gamma": "high"}, "gamma must be a number, not 'high'"),
        ({"gamma": float("nan")}, "gamma must be a number, not nan"),
        ({"ent_coef": "lin_0.01"}, "ent_coef must be a number, not 'lin_0.01'"),
        (
            {"learning_rate": "lin_fast"},
            "learning_rate 'lin_fast' is not a schedule; write a number, or lin_",
        ),
        ({"learning_rate": "linear_1e-3"}, "learning_rate 'linear_1e-3' is not a schedule"),
        ({"learning_rate": "lin_"}, "learning_rate 'lin_' is not a schedule"),
        ({"learning_rate": "lin_nan"}, "learning_rate 'lin_nan' is not a schedule"),
        ({"learning_rate": "1e-4"}, "(YAML reads 1e-4 as a text: write !!float 1e-4)"),
        ({"learning_rate": "lin_-1"}, "learning_rate must be above 0, not -1"),
        ({"learning_rate": 0}, "learning_rate must be above 0, not 0"),
        ({"clip_range": [0.1]}, "clip_range must be a number or a schedule such as lin_2.5e-4, not [0.1]"),
        (
            {"normalize_advantage": "yes please"},
            "normalize_advantage must be true or false, not 'yes please'",
        ),
        ({"policy": "MlpPolici"}, "unknown policy 'MlpPolici' for ppo; did you mean 'MlpPolicy'?"),
        ({"policy": 3}, "unknown policy '3' for ppo"),
        ({"policy": "stable_baselines3.PPO"}, "'stable_baselines3.PPO' is not a kind of BasePolicy"),
        (
            {"policy_kwargs": "dict(net_arc=[8])"},
            "unknown key 'net_arc' in policy_kwargs of ActorCriticPolicy; did you mean 'net_arch'?",
        ),
        (
            {"policy_kwargs": "dict(net_arch=['a'])"},
            "policy_kwargs: net_arch must be a list of whole numbers or a mapping or null",
        ),
        ({"policy_kwargs": "dict(net_arch=[64, 0])"}, "policy_kwargs: net_arch must be at least 1, not 0"),
        (
            {"policy_kwargs": "dict(activation_fn=nn.Relu)"},
            "torch.nn has no module 'Relu'; did you mean 'ReLU'?",
        ),
        (
            {"policy_kwargs": "dict(activation_fn=th.optim.Adam)"},
            "activation_fn must be a class of the kind Module",
        ),
        (
            {"policy_kwargs": {"activation_fn": "nn.ReLU"}},
            "unknown activation 'nn.ReLU'; did you mean 'relu'",
        ),
        ({"policy_kwargs": "[1]"}, "policy_kwargs must be a mapping or null, not [1]"),
        (
            {"policy_kwargs": "dict(net_arch=[8]"},
            "my.yml, block 'x', policy_kwargs: 'dict(net_arch=[8]' is not an expression",
        ),
        ({"frame_stack": 0}, "frame_stack must be at least 1, not 0"),
        ({"normalize": 3}, "normalize must be true, false or a mapping, not 3"),
        ({"normalize": {"norm_ob": True}}, "unknown key 'norm_ob' in normalize; did you mean 'norm_obs'?"),
        ({"env_wrapper": "AtariWrapper"}, "env_wrapper must be the full name of a class"),
        ({"env_wrapper": [{"a.B": {}, "c.D": {}}]}, "env_wrapper must be the full name of a class"),
        ({"env_wrapper": [{"a.B": None}]}, "the arguments of a.B in env_wrapper must be a mapping, not None"),
        ({"callback": 5}, "callback must be the full name of a class"),
        ({"env_kwargs": "frameskip"}, "env_kwargs must be a mapping, not 'frameskip'"),
    ],
)
def test_mistakes_in_a_block(changes: dict[Any, Any], message: str) -> None:
    with pytest.raises(UserError) as error:
        parse_block({**MINIMAL, **changes}, "ppo", "my.yml, block 'x'")
    assert message in str(error.value)
    assert str(error.value).startswith("my.yml, block 'x'")
    assert "\n" not in str(error.value)
    assert error.value.status == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_freq": [1, "steps"]}, "train_freq must be a whole number or a pair such as [1, step]"),
        ({"train_freq": 0}, "train_freq must be at least 1, not 0"),
        ({"train_freq": [0, "step"]}, "train_freq must be at least 1, not 0"),
        ({"train_freq": True}, "train_freq must be a whole number or a pair"),
        ({"train_freq": 0.5}, "train_freq must be a whole number or a pair"),
        ({"train_freq": float("nan")}, "train_freq must be a whole number or a pair"),
        ({"train_freq": [1, "episode"], "n_envs": 2}, "train_freq in episodes needs n_envs 1, not 2"),
        ({"gradient_steps": -2}, "gradient_steps must be at least -1, not -2"),
        ({"buffer_size": "1e5"}, "buffer_size must be a whole number, not '1e5' (YAML reads 1e5 as a text"),
        ({"replay_buffer_class": "ReplayBuffer"}, "the name 'ReplayBuffer' is not known"),
        (
            {"replay_buffer_class": "nn.ReLU"},
            "replay_buffer_class must be a class of the kind ReplayBuffer or null",
        ),
        ({"noise_type": "normal"}, "unknown key 'noise_type' for dqn"),
    ],
)
def test_mistakes_in_a_block_of_dqn(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as error:
        parse("dqn", **changes)
    assert message in str(error.value)


def test_a_block_that_contains_itself(tmp_path: Path) -> None:
    path = tmp_path / "my.yml"
    path.write_text(
        "x: {n_timesteps: 9, policy: MlpPolicy, policy_kwargs: &a {net_arch: &b [*b], optimizer_kwargs: *a}}"
    )
    with pytest.raises(UserError, match="net_arch must be a list of whole numbers"):
        parse_block(load_config(path)["x"], "ppo", "my.yml")
    path.write_text("x: {n_timesteps: 9, policy: MlpPolicy, policy_kwargs: &a {optimizer_kwargs: *a}}")
    kwargs = parse_block(load_config(path)["x"], "ppo", "my.yml").algorithm["policy_kwargs"]
    assert list(kwargs) == ["optimizer_kwargs"]


@pytest.mark.parametrize("missing", ["n_timesteps", "policy"])
def test_missing_keys(missing: str) -> None:
    block = {key: value for key, value in MINIMAL.items() if key != missing}
    with pytest.raises(UserError, match=f"^my.yml: the key '{missing}' is missing"):
        parse_block(block, "ppo", "my.yml")


def test_unknown_algorithm() -> None:
    with pytest.raises(
        UserError, match=r"unknown algorithm 'qr-dqn'; did you mean 'qrdqn'\? \(known: ppo, qrdqn, dqn, hdqn, .*\)"
    ):
        parse("qr-dqn")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file must be a mapping of environment ids to hyperparameters"),
        (b"- atari\n- pong\n", "the file must be a mapping"),
        (b"just words", "the file must be a mapping"),
        (b"atari:\n", "block 'atari': a block must be a mapping of hyperparameters"),
        (b"atari: 5\n", "block 'atari': a block must be a mapping"),
        (b"atari: [1, 2]\n", "block 'atari': a block must be a mapping"),
        (b"3: {n_envs: 1}\n", "block '3': a block must be a mapping"),
        (b"atari:\n  n_envs: 8\n n_steps: 5\n", "line 3: not valid YAML"),
        (b"atari: {<<: *nothing}\n", "line 1: not valid YAML: found undefined alias"),
        (b"atari: {n_timesteps: !!float many}\n", "not valid YAML: could not convert string to float"),
        (b"atari: {a: !!timestamp x}\n", "not valid YAML"),
        (b"atari: {a: !!int ''}\n", "not valid YAML: string index out of range"),
        (b"atari: {a: !!bool x}\n", "not valid YAML"),
        (
            b"atari: !!python/object/apply:os.system [true]\n",
            "not valid YAML: could not determine a constructor",
        ),
        (b"\x89PNG\r\n\x1a\n\x00\xff", "not valid YAML"),
        (b"[" * 20_000, "not valid YAML"),
    ],
)
def test_files_that_are_no_configuration(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "bad.yml"
    path.write_bytes(content)
    with pytest.raises(UserError) as error:
        load_config(path)
    assert message in str(error.value) and str(path) in str(error.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot read the configuration .*none.yml: No such file"):
        load_config(tmp_path / "none.yml")
    with pytest.raises(UserError, match=r"cannot read the configuration .*: Is a directory"):
        load_config(tmp_path)
