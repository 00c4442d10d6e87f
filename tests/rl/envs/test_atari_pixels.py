"""Screen observations of Atari games, against ALE's vector environment and Stable-Baselines3's own Atari wrappers.

Where observations are compared with Stable-Baselines3's, two things differ by design: ALE's grey is its own palette,
Stable-Baselines3's is OpenCV's RGB2GRAY; and ALE takes the maximum of two grey screens before it resizes them, Stable-
Baselines3 that of two colour screens. Measured over a whole game the mean difference is about 0.001 grey levels of
255, the mean over one observation at most 0.05.

Credits: Stable-Baselines3's ``make_atari_env``, ``VecFrameStack`` and Atari wrappers, and ale-py's ``AtariVectorEnv``,
which the environment is compared with.
"""

from __future__ import annotations

from typing import Any

import cv2
import gymnasium
import numpy as np
import pytest
from ale_py.vector_env import AtariVectorEnv
from stable_baselines3 import PPO
from stable_baselines3.common.atari_wrappers import MaxAndSkipEnv, WarpFrame
from stable_baselines3.common.env_util import make_atari_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.vec_env import DummyVecEnv, VecCheckNan, VecFrameStack, is_vecenv_wrapped
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs

from rl.envs.atari_env import AtariVecEnv
from rl.envs.atari_game import AtariGame, GameSettings, ale_seed
from rl.envs.protocols import Protocol
from tests.traced_games import EpisodeEnds, Play, Replay, Tape

Step = tuple[Any, Any, Any, Any]  # observations, rewards, dones and infos; after a reset observations alone
DETERMINISTIC = Protocol(sticky=0.0)
UP = 2  # who only flies up falls into the sun with each of six ships


def difference(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Grey levels between (stack, H, W) and (H, W, stack)."""
    return np.abs(ours.astype(np.int16) - theirs.transpose(2, 0, 1).astype(np.int16))


def assert_alike(ours: np.ndarray, theirs: np.ndarray) -> None:
    gap = difference(ours, theirs)
    assert gap.mean() < 0.1
    assert (gap > 32).mean() < 0.002


def test_it_plays_what_make_atari_env_plays() -> None:
    # Stable-Baselines3's wrapper does FIRE and then action 2 at each start, four frames each. Ours offers no
    # such start, so the two actions are done here; the first three stacks differ, because theirs begin after the two.
    theirs = VecFrameStack(
        make_atari_env(
            "GravitarNoFrameskip-v4",
            n_envs=1,
            env_kwargs={"max_num_frames_per_episode": 2_400},
            wrapper_kwargs={"noop_max": 0, "terminal_on_life_loss": False, "clip_reward": False},
        ),
        4,
    )
    ours = AtariVecEnv("gravitar", 1, "pixels", Protocol(sticky=0.0, max_frames=2_400), seed=1, workers=1)

    def start() -> VecEnvObs:
        for action in (1, UP):
            observations, rewards, dones, _ = ours.step(np.array([action]))
            assert rewards[0] == 0 and not dones[0]
        return observations

    theirs.reset()
    ours.reset()
    start()
    rng = np.random.default_rng(0)
    ends: list[tuple[float, bool]] = []
    lives, since_start = [], 0
    while len(ends) < 2:
        action = np.array([rng.integers(18)])
        observations, rewards, dones, infos = ours.step(action)
        their_observations, their_rewards, their_dones, their_infos = theirs.step(action)
        since_start += 1
        assert rewards.tolist() == their_rewards.tolist()
        assert dones.tolist() == their_dones.tolist()
        lives.append(their_infos[0]["lives"])
        if dones[0]:
            end, their_end = infos[0]["episode"], their_infos[0]["episode"]
            assert end["r"] == their_end["r"]
            # Their monitor counts frames, of which the last action's may have been fewer than four.
            assert end["l"] == -(-their_end["l"] // 4)
            assert infos[0]["TimeLimit.truncated"] == their_infos[0]["TimeLimit.truncated"]
            ends.append((end["r"], infos[0]["TimeLimit.truncated"]))
            start()
            since_start = 0
        elif since_start > 3:
            assert isinstance(observations, np.ndarray) and isinstance(their_observations, np.ndarray)
            assert_alike(observations[0], their_observations[0])
    ours.close()
    theirs.close()
    assert min(lives) < 6
    # One game ended by itself and one was cut, both with points.
    assert [truncated for _, truncated in ends] == [False, True]
    assert all(score > 0 for score, _ in ends)


@pytest.fixture(scope="module")
def without_fire() -> list[tuple[Step, Step]]:
    """Two environments of ours and two with Stable-Baselines3's wrappers without ``FireResetEnv``, so that both start
    alike; the results of every step."""

    def maker() -> gymnasium.Env[np.ndarray, int]:
        env = gymnasium.make("GravitarNoFrameskip-v4", max_num_frames_per_episode=800)
        return WarpFrame(MaxAndSkipEnv(Monitor(env), 4))

    theirs = VecFrameStack(DummyVecEnv([maker, maker]), 4)
    ours = AtariVecEnv("gravitar", 2, "pixels", Protocol(sticky=0.0, max_frames=800), seed=3, workers=2)
    tape: list[tuple[Step, Step]] = [((ours.reset().copy(), None, None, None), (theirs.reset(), None, None, None))]
    rng = np.random.default_rng(5)
    for _ in range(250):
        actions = np.array([rng.integers(18), 5])  # the second only turns down: its game is over in 330 actions
        step: Step = ours.step(actions)
        tape.append(((step[0].copy(), *step[1:]), theirs.step(actions)))
    ours.close()
    theirs.close()
    return tape


def test_every_observation_is_stable_baselines3s_but_for_the_grey(without_fire: list[tuple[Step, Step]]) -> None:
    gaps = []
    for (observations, *_), (their_observations, *_) in without_fire:
        for mine, other in zip(observations, their_observations, strict=True):
            assert_alike(mine, other)
            gaps.append(difference(mine, other).mean())
    assert np.mean(gaps) < 0.02
    # The stack: three empty screens before a game's first, in the same order.
    first = without_fire[0][0][0]
    assert first.shape == (2, 4, 84, 84) and first.dtype == np.uint8
    assert not first[:, :3].any() and first[:, 3].any()


def test_rewards_and_ends_are_stable_baselines3s(without_fire: list[tuple[Step, Step]]) -> None:
    steps = without_fire[1:]
    assert all(mine[1].tolist() == other[1].tolist() for mine, other in steps)
    assert all(mine[2].tolist() == other[2].tolist() for mine, other in steps)
    assert [np.flatnonzero([step[0][2][index] for step in steps]).tolist() for index in (0, 1)] == [[199], [199]]
    for mine, other in steps:
        for info, their_info in zip(mine[3], other[3], strict=True):
            assert info.get("TimeLimit.truncated", False) == their_info["TimeLimit.truncated"]
            assert ("terminal_observation" in info) == ("terminal_observation" in their_info)


def test_terminal_observations_are_stable_baselines3s(without_fire: list[tuple[Step, Step]]) -> None:
    (_, _, _, infos), (_, _, _, their_infos) = without_fire[200]
    for info, their_info in zip(infos, their_infos, strict=True):
        assert info["TimeLimit.truncated"] is True
        assert_alike(info["terminal_observation"], their_info["terminal_observation"])


def test_the_observation_at_a_truncation_is_what_the_game_shows() -> None:
    """``terminal_observation``, from which the last value is estimated, is that of the same game, not cut."""
    cut = AtariVecEnv("gravitar", 1, "pixels", Protocol(sticky=0.0, max_frames=400), seed=1, workers=1)
    whole = AtariVecEnv("gravitar", 1, "pixels", DETERMINISTIC, seed=1, workers=1)
    assert np.array_equal(cut.reset(), whole.reset())
    first = cut.reset()
    whole.reset()
    rng = np.random.default_rng(0)
    for _ in range(100):
        action = rng.integers(18, size=1)
        observations, _, dones, infos = cut.step(action)
        expected, _, whole_dones, _ = whole.step(action)
        assert isinstance(observations, np.ndarray) and isinstance(expected, np.ndarray)
        assert dones[0] or np.array_equal(observations, expected)
    cut.close()
    whole.close()
    assert dones[0] and infos[0]["TimeLimit.truncated"] is True and not whole_dones[0]
    assert infos[0]["episode"]["l"] == 100
    assert isinstance(observations, np.ndarray) and isinstance(expected, np.ndarray)
    assert np.array_equal(observations, first)  # the next episode has begun
    assert np.array_equal(infos[0]["terminal_observation"], expected[0])


def test_a_lost_life_ends_the_learners_episode_and_not_the_game(play: Play) -> None:
    """The same actions with and without life-loss terminals, and in an emulator that nothing resets."""
    tapes = []
    for life_loss in (True, False):
        env = AtariVecEnv("gravitar", 2, "pixels", Protocol(sticky=0.0, life_loss_terminal=life_loss), 1, workers=1)
        tapes.append(play(env, 240, seed=5, constant={1: UP}))
        env.close()
    with_ends, without_ends = tapes
    # Nothing but the flags differs.
    for mine, other in zip(with_ends, without_ends, strict=True):
        assert np.array_equal(mine["observations"], other["observations"])
        assert mine.get("rewards", np.zeros(0)).tolist() == other.get("rewards", np.zeros(0)).tolist()
        assert [info.get("episode", {}).get("r") for info in mine.get("infos", ())] == [
            info.get("episode", {}).get("r") for info in other.get("infos", ())
        ]
    # The second environment falls into the sun again and again; a bare emulator says when.
    game = AtariGame(GameSettings("gravitar", sticky=0.0))
    game.reset(0)
    lives, expected, frames = game.lives(), [], []
    for step in range(1, 236):
        _, over, _ = game.step(UP)
        if game.lives() < lives:
            lives = game.lives()
            expected.append((step, over))
            frames.append(game.ale.getEpisodeFrameNumber())
    assert len(expected) == 6 and expected[-1][1] and frames == sorted(frames)
    steps = enumerate(with_ends[1:236], start=1)
    assert [(step, "episode" in item["infos"][1]) for step, item in steps if item["dones"][1]] == expected
    for step, over in expected:
        info = with_ends[step]["infos"][1]
        assert info["TimeLimit.truncated"] is False
        assert info["terminal_observation"].shape == (4, 84, 84)
        if not over:  # the game goes on: what comes next is what there was
            assert np.array_equal(info["terminal_observation"], with_ends[step]["observations"][1])
    assert with_ends[235]["infos"][1]["episode"]["l"] == 235


@pytest.fixture(scope="module")
def sticky_tapes(play: Play) -> list[Tape]:
    """Eight environments with everything on, twice: with one worker process and with two."""
    protocol = Protocol(
        sticky=0.25, noop_max=30, fire_reset=True, life_loss_terminal=True, reward="clip", max_frames=1_200
    )
    tapes = []
    for workers in (1, 2):
        env = AtariVecEnv("gravitar", 8, "pixels", protocol, seed=742, workers=workers)
        tapes.append(play(env, 330, seed=1, constant={0: UP, 5: UP}))
        env.close()
    return tapes


def test_the_number_of_workers_changes_nothing(sticky_tapes: list[Tape], episode_ends: EpisodeEnds) -> None:
    one, two = sticky_tapes
    for mine, other in zip(one, two, strict=True):
        assert np.array_equal(mine["observations"], other["observations"])
    for mine, other in zip(one[1:], two[1:], strict=True):
        assert np.array_equal(mine["rewards"], other["rewards"])
        assert np.array_equal(mine["dones"], other["dones"])
        for info, other_info in zip(mine["infos"], other["infos"], strict=True):
            assert info.keys() == other_info.keys()
    for info, other_info in zip(episode_ends(one), episode_ends(two), strict=True):
        assert (info["episode"]["r"], info["episode"]["l"]) == (other_info["episode"]["r"], other_info["episode"]["l"])
        assert info["trace"].seed == other_info["trace"].seed
        assert np.array_equal(info["trace"].start, other_info["trace"].start)
        assert np.array_equal(info["trace"].actions, other_info["trace"].actions)


def test_every_episode_replays_to_its_score_and_length(
    sticky_tapes: list[Tape], episode_ends: EpisodeEnds, replay: Replay
) -> None:
    finished = episode_ends(sticky_tapes[0])
    settings = GameSettings("gravitar", sticky=0.25, max_frames=1_200)
    for info in finished:
        score, length, terminated, truncated = replay(settings, info["trace"])
        assert (score, length) == (info["episode"]["r"], info["episode"]["l"])
        assert (truncated and not terminated) == info["TimeLimit.truncated"]
        assert terminated or truncated
        assert info["trace"].start[0] == 1 and not info["trace"].start[1:].any()  # fire, then no-ops
    assert len(finished) >= 8
    assert {info["TimeLimit.truncated"] for info in finished} == {True, False}
    assert max(info["episode"]["r"] for info in finished) >= 50  # raw points, though the learner's are clipped
    assert len({info["trace"].seed for info in finished}) == len(finished)
    noops = {len(info["trace"].start) - 1 for info in finished}
    assert len(noops) > 4 and min(noops) >= 1 and max(noops) <= 30


def test_the_learner_sees_clipped_rewards(sticky_tapes: list[Tape]) -> None:
    rewards = np.concatenate([item["rewards"] for item in sticky_tapes[0][1:]])
    assert rewards.dtype == np.float32
    assert set(rewards.tolist()) == {0.0, 1.0}


def test_an_environment_does_not_depend_on_those_beside_it(play: Play) -> None:
    # The second environment restarts often; the first one's observations and episodes are those that it has alone.
    protocol = Protocol(sticky=0.25, max_frames=600)
    tapes = []
    for count, constant in ((1, {0: UP}), (2, {0: UP, 1: 5})):
        env = AtariVecEnv("gravitar", count, "pixels", protocol, seed=7, workers=1)
        tapes.append(play(env, 320, constant=constant))
        env.close()
    alone, beside = tapes
    assert all(
        np.array_equal(mine["observations"][0], other["observations"][0])
        for mine, other in zip(alone, beside, strict=True)
    )
    assert [item["dones"][0] for item in alone[1:]] == [item["dones"][0] for item in beside[1:]]
    assert sum(item["dones"][1] for item in beside[1:]) == 2


def test_another_seed_counts_from_the_next_reset(play: Play, episode_ends: EpisodeEnds, replay: Replay) -> None:
    protocol = Protocol(max_frames=400)
    env = AtariVecEnv("gravitar", 1, "pixels", protocol, seed=1, workers=1)
    env.reset()
    rng = np.random.default_rng(0)
    for _ in range(10):
        env.step(rng.integers(18, size=1))
    env.seed(2)  # as a model does that is given the environment
    infos: list[dict[str, Any]] = [{}]
    while "episode" not in infos[0]:
        _, _, _, infos = env.step(rng.integers(18, size=1))
    # The episode that was under way has begun with the old seed and is traced so.
    score, length, _, _ = replay(GameSettings("gravitar", max_frames=400), infos[0]["trace"])
    assert (score, length) == (infos[0]["episode"]["r"], infos[0]["episode"]["l"])
    env.close()


def test_the_seed_of_a_run_decides_its_episodes(play: Play, episode_ends: EpisodeEnds) -> None:
    env = AtariVecEnv("gravitar", 2, "pixels", Protocol(max_frames=40), seed=1, workers=1)

    def seeds() -> list[int]:
        return [info["trace"].seed for info in episode_ends(play(env, 10))]

    first = seeds()
    assert len(set(first)) == 2
    env.seed(2)
    other = seeds()
    assert len(set(first + other)) == 4
    env.seed(1)
    assert seeds() == first
    env.close()


def test_what_stable_baselines3_asks_of_an_environment(recwarn: pytest.WarningsRecorder) -> None:
    protocol = Protocol(screen_size=42, frame_stack=2, max_frames=80)
    env = AtariVecEnv("gravitar", 2, "pixels", protocol, seed=1, workers=1)
    assert env.observation_space.shape == (2, 42, 42)
    assert is_image_space(env.observation_space)
    assert is_vecenv_wrapped(env, Monitor) is False  # type: ignore[arg-type]  # evaluate_policy asks it so
    assert env.env_is_wrapped(Monitor) == [True, True]
    assert env.env_is_wrapped(WarpFrame, indices=[1]) == [False]
    checked = VecCheckNan(env, raise_exception=True)
    observations = checked.reset()
    assert all(env.observation_space.contains(observation) for observation in observations)
    for _ in range(25):
        observations, rewards, dones, infos = checked.step(np.zeros(2, np.int64))
    assert all(env.observation_space.contains(observation) for observation in observations)
    assert rewards.shape == (2,) and dones.dtype == np.bool_ and len(infos) == 2
    # Stable-Baselines3's own evaluation counts the same whole games, and does not ask for a Monitor.
    model = PPO("MlpPolicy", env, n_steps=8, batch_size=16, policy_kwargs={"net_arch": [4]}, seed=1, device="cpu")
    _, lengths = evaluate_policy(model, env, n_eval_episodes=4, return_episode_rewards=True, warn=True)
    assert lengths == [20, 20, 20, 20]
    assert not [warning for warning in recwarn if "Monitor" in str(warning.message)]
    env.close()


@pytest.mark.parametrize("frame_skip", [4, 1])
def test_every_pixel_is_that_of_ales_own_vector_environment(frame_skip: int) -> None:
    protocol = Protocol(sticky=0.25, frame_skip=frame_skip)
    ours = AtariVecEnv("gravitar", 3, "pixels", protocol, seed=5, workers=2)
    theirs = AtariVectorEnv(
        "gravitar", 3, frameskip=frame_skip, repeat_action_probability=0.25, noop_max=0, use_fire_reset=False,
        reward_clipping=False, max_num_frames_per_episode=108_000,
    )  # fmt: skip
    observations: VecEnvObs = ours.reset()
    seeds = [ale_seed(seed) for seed in ours.state()["seeds"]]
    their_observations, _ = theirs.reset(seed=np.array(seeds))
    assert isinstance(observations, np.ndarray) and np.array_equal(observations, their_observations)
    rng = np.random.default_rng(0)
    ended: set[int] = set()
    scores = np.zeros(3)
    for _ in range(340 if frame_skip == 4 else 200):
        actions = np.array([*rng.integers(18, size=2), UP])
        observations, rewards, dones, infos = ours.step(actions)
        their_observations, their_rewards, terminated, _, _ = theirs.step(actions)
        assert isinstance(observations, np.ndarray)
        for index in set(range(3)) - ended:
            # Of a game that ends within an action ALE's environment shows frames of the action before.
            shown = infos[index]["terminal_observation"][:-1] if dones[index] else observations[index]
            assert np.array_equal(shown, their_observations[index][: len(shown)])
            assert rewards[index] == their_rewards[index] and dones[index] == terminated[index]
            scores[index] += rewards[index]
            if dones[index]:
                ended.add(index)
    ours.close()
    theirs.close()
    if frame_skip == 4:
        assert 2 in ended and scores.max() > 0


def test_a_random_frame_skip_shows_the_last_two_frames_of_each_action() -> None:
    env = AtariVecEnv("gravitar", 1, "pixels", Protocol(frame_skip=(2, 5)), seed=3, workers=1)
    env.reset()
    game = AtariGame(GameSettings("gravitar", (2, 5), sticky=0.25))
    game.reset(env.state()["seeds"][0], load=True)
    counts = set()
    for action in np.random.default_rng(1).integers(18, size=100).tolist():
        screens = [game.ale.getScreenGrayscale() for _ in game.frames(action)]
        expected = cv2.resize(np.maximum(*screens[-2:]), (84, 84), interpolation=cv2.INTER_AREA)
        observations, *_ = env.step(np.array([action]))
        assert isinstance(observations, np.ndarray)
        assert np.array_equal(observations[0, -1], expected)
        counts.add(len(screens))
    env.close()
    assert counts == {2, 3, 4}
