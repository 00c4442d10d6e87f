"""AtariGame against gymnasium's own Atari environment with the same seeds, bit for bit.

Credits: gymnasium and ale-py's ``AtariEnv``, which the class is compared with.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import ale_py
import gymnasium
import numpy as np
import pytest
from ale_py.env import AtariEnv
from gymnasium import spaces

from common.errors import UserError
from rl.envs.atari_game import AtariGame, GameSettings, ale_seed, episode_seed, rom_path

gymnasium.register_envs(ale_py)
# A game of at most 1,800 frames (450 actions) is long enough for a score and lost lives.
MAX_FRAMES = 1_800


def play_both(
    game: AtariGame, env: gymnasium.Env[np.ndarray, int], seed: int, steps: int = 2_000, start: Sequence[int] = ()
) -> tuple[float, int, tuple[bool, bool]]:
    """The same random actions in both; asserts at every step, returns score, lives lost and how the game ended."""
    game.reset(seed, start)
    observation, info = env.reset(seed=seed)
    for action in start:
        observation, _, _, _, info = env.step(action)
    ram = np.zeros(128, np.uint8)
    rng = np.random.default_rng(seed)
    score, lost, end = 0.0, 0, (False, False)
    lives = game.lives()
    game.ram(ram)
    assert np.array_equal(ram, observation) and lives == info["lives"]
    for _ in range(steps):
        action = int(rng.integers(len(game.actions)))
        ours = game.step(action)
        observation, reward, terminated, truncated, info = env.step(action)
        game.ram(ram)
        assert np.array_equal(ram, observation)
        assert ours == (reward, terminated, truncated)
        assert game.lives() == info["lives"]
        score += float(reward)
        lost += game.lives() < lives
        lives, end = game.lives(), (terminated, truncated)
        if any(end):
            break
    return score, lost, end


@pytest.fixture(scope="module")
def game() -> AtariGame:
    return AtariGame(GameSettings("gravitar", max_frames=MAX_FRAMES))


@pytest.fixture(scope="module")
def env() -> Iterator[gymnasium.Env[np.ndarray, int]]:
    env = gymnasium.make("ALE/Gravitar-v5", obs_type="ram", max_num_frames_per_episode=MAX_FRAMES)
    yield env
    env.close()


def test_one_instance_plays_what_gymnasium_plays_over_several_seeds(
    game: AtariGame, env: gymnasium.Env[np.ndarray, int]
) -> None:
    # The default protocol: four frames an action, sticky actions 0.25. 742 comes twice: nothing stays from before.
    results = [play_both(game, env, seed) for seed in (742, 0, 2**32 - 1, 742, 5)]
    assert results[0] == results[3]
    assert len(set(results)) > 1
    assert max(score for score, _, _ in results) > 0  # rewards were compared, not only zeros
    assert max(lost for _, lost, _ in results) >= 2
    assert (False, True) in [end for _, _, end in results]


def test_a_game_that_ends_by_itself(env: gymnasium.Env[np.ndarray, int], game: AtariGame) -> None:
    # Who only flies up falls into the sun: six ships in about 240 actions.
    game.reset(3)
    env.reset(seed=3)
    length, terminated = 0, False
    while not terminated:
        length += 1
        ours = game.step(2)
        _, reward, terminated, truncated, _ = env.step(2)
        assert ours == (reward, terminated, truncated)
    assert 200 < length < 300
    assert game.game_over() and not game.truncated() and game.lives() == 0


@pytest.mark.parametrize("seed", [742, 1, 99])
def test_frame_skip_drawn_from_2_to_4_as_in_gravitar_v0(seed: int) -> None:
    game = AtariGame(GameSettings("gravitar", frame_skip=(2, 5), max_frames=900))
    env = gymnasium.make("Gravitar-v0", obs_type="ram", max_num_frames_per_episode=900)
    play_both(game, env, seed + 1, steps=20)  # the generator of the frame skip begins anew with each game
    _, _, end = play_both(game, env, seed)
    env.close()
    assert end == (False, True)


def test_without_sticky_actions_the_seed_does_not_matter_and_with_them_it_does() -> None:
    def memories(sticky: float) -> Iterator[bytes]:
        game = AtariGame(GameSettings("gravitar", sticky=sticky))
        ram = np.zeros(128, np.uint8)
        for seed in (1, 2):
            game.reset(seed)
            for action in [2, 3, 4, 10, 1] * 20:
                game.step(action)
            game.ram(ram)
            yield ram.tobytes()

    first, second = memories(0.0)
    assert first == second
    first, second = memories(0.25)
    assert first != second


def test_start_actions_are_done_for_one_frame_each() -> None:
    game = AtariGame(GameSettings("gravitar", frame_skip=1, max_frames=400))
    env = gymnasium.make("ALE/Gravitar-v5", obs_type="ram", frameskip=1, max_num_frames_per_episode=400)
    # They count among the game's frames: 30 of them and 370 actions of one frame are the limit of 400.
    _, _, end = play_both(game, env, 8, start=[1, *[0] * 29], steps=370)
    env.close()
    assert end == (False, True)


@pytest.mark.parametrize(
    ("name", "env_id"), [("pong", "ALE/Pong-v5"), ("ms_pacman", "ALE/MsPacman-v5"), ("pitfall2", "ALE/Pitfall2-v5")]
)
def test_other_games(name: str, env_id: str) -> None:
    game = AtariGame(GameSettings(name))
    env = gymnasium.make(env_id, obs_type="ram")
    for seed in (11, 12):
        play_both(game, env, seed, steps=120)
    assert isinstance(env.action_space, spaces.Discrete) and len(game.actions) == env.action_space.n
    env.close()


def test_full_action_space() -> None:
    assert [action.name for action in AtariGame(GameSettings("pong")).actions] == [
        "NOOP", "FIRE", "RIGHT", "LEFT", "RIGHTFIRE", "LEFTFIRE"
    ]  # fmt: skip
    game = AtariGame(GameSettings("pong", full_action_space=True))
    env = gymnasium.make("ALE/Pong-v5", obs_type="ram", full_action_space=True)
    assert len(game.actions) == 18
    play_both(game, env, 1, steps=60)
    env.close()


def test_screens_are_gymnasiums(game: AtariGame) -> None:
    env = gymnasium.make("ALE/Gravitar-v5", obs_type="rgb", max_num_frames_per_episode=MAX_FRAMES)
    for action in (10, 4, 4, 0):  # leave something on the screen
        game.step(action)
    game.reset(6, load=True)
    observation, _ = env.reset(seed=6)
    assert game.screen().shape == (210, 160, 3) and game.screen().dtype == np.uint8
    assert np.array_equal(game.screen(), observation)
    for action in [10, 3, 7, 2] * 10:
        game.step(action)
        assert np.array_equal(game.screen(), env.step(action)[0])
    env.close()


def test_frame_by_frame_is_the_same_game(game: AtariGame) -> None:
    game.reset(9)
    whole = [game.step(action)[0] for action in [10, 3, 7, 2, 1] * 60]
    game.reset(9)
    frames = [list(game.frames(action)) for action in [10, 3, 7, 2, 1] * 60]
    assert {len(rewards) for rewards in frames} == {4}
    assert [sum(rewards) for rewards in frames] == whole


def test_the_most_frames_of_an_action() -> None:
    assert GameSettings("gravitar", frame_skip=4).max_skip == 4
    assert GameSettings("gravitar", frame_skip=(2, 5)).max_skip == 4


def test_the_mean_frames_of_an_action_are_those_that_ale_draws() -> None:
    assert GameSettings("gravitar", frame_skip=4).mean_skip == 4
    assert GameSettings("gravitar", frame_skip=(2, 5)).mean_skip == 3  # of 2, 3 and 4
    env = gymnasium.make("Gravitar-v0", obs_type="ram")
    env.reset(seed=742)
    atari = env.unwrapped
    assert isinstance(atari, AtariEnv)
    drawn, before = [], atari.ale.getEpisodeFrameNumber()
    for _ in range(400):
        _, _, terminated, truncated, _ = env.step(0)
        assert not terminated and not truncated
        drawn.append(atari.ale.getEpisodeFrameNumber() - before)
        before += drawn[-1]
    env.close()
    assert set(drawn) == {2, 3, 4}
    assert np.mean(drawn) == pytest.approx(3, abs=0.12)  # three standard errors: 3 sqrt(2 / 3 / 400)


def test_ale_seeds_are_those_that_gymnasium_reports(env: gymnasium.Env[np.ndarray, int]) -> None:
    for seed in (0, 742, 123_456_789):
        _, info = env.reset(seed=seed)
        assert ale_seed(seed) == int(np.array(info["seeds"][1]).astype(np.int32))


def test_every_game_of_a_run_has_a_seed_of_its_own() -> None:
    keys = [(run, index, episode) for run in (0, 742) for index in range(8) for episode in range(100)]
    seeds = [episode_seed(*key) for key in keys]
    assert len(set(seeds)) == len(keys)
    assert seeds == [episode_seed(*key) for key in keys]
    assert all(0 <= seed < 2**32 and ale_seed(seed) >= 0 for seed in seeds)


def test_unknown_games_are_named_with_the_nearest() -> None:
    with pytest.raises(UserError, match="unknown Atari game 'gravitarr'; did you mean 'gravitar'") as error:
        AtariGame(GameSettings("gravitarr"))
    assert error.value.status == 2
    assert rom_path("gravitar").name == "gravitar.bin"


@pytest.mark.parametrize("name", ["gravitar", "montezuma_revenge"])
def test_a_game_goes_on_from_where_it_was_saved_in_any_emulator(name: str) -> None:
    settings = GameSettings(name)
    game, other = AtariGame(settings), AtariGame(settings)
    rng = np.random.default_rng(4)
    game.reset(742)
    for _ in range(12):  # places of a random walk
        walk = rng.integers(len(game.actions), size=40).tolist()
        for action in walk:
            game.step(action)
        state = game.save_state()
        ahead = rng.integers(len(game.actions), size=60).tolist()
        expected = [(game.step(action), game.save_state()) for action in ahead]
        for again in (other, game):
            for action in rng.integers(len(game.actions), size=3).tolist():
                again.step(action)  # leaves another last action, and another state of the generator
            again.restore_state(state, walk[-1])
            assert [(again.step(action), again.save_state()) for action in ahead] == expected
        if game.game_over():
            game.reset(int(rng.integers(1000)))


def test_a_sticky_frame_after_a_return_repeats_the_action_before_it() -> None:
    """With probability 0.25 the first frame repeats it: here thrust, or nothing."""
    settings = GameSettings("gravitar", frame_skip=1)
    game = AtariGame(settings)
    game.reset(1)
    for _ in range(60):
        game.step(0)
    state = game.save_state(with_generator=False)
    ram = np.zeros(128, np.uint8)
    ends = {}
    for last_action in (0, 2):  # nothing, up
        for seed in range(200):
            game.restore_state(state, last_action, noise_seed=seed)
            for _ in range(8):
                game.step(0)
            game.ram(ram)
            ends[last_action, seed] = ram.tobytes()
    differ = np.mean([ends[0, seed] != ends[2, seed] for seed in range(200)])
    assert differ == pytest.approx(0.25, abs=0.09)  # three standard errors


def test_noise_after_a_return_without_the_generator() -> None:
    game = AtariGame(GameSettings("gravitar"))
    game.reset(1)
    for action in [10, 3, 7, 2] * 15:
        game.step(action)
    state = game.save_state(with_generator=False)

    def goes_on(seed: int) -> bytes:
        game.restore_state(state, 2, noise_seed=seed)
        for action in [2, 3, 4, 10, 1] * 8:
            game.step(action)
        return game.save_state()

    first = goes_on(5)
    assert goes_on(6) != first
    assert goes_on(5) == first


def test_a_random_frame_skip_cannot_be_restore_state() -> None:
    game = AtariGame(GameSettings("gravitar", frame_skip=(2, 5)))
    with pytest.raises(ValueError, match="random frame skip"):
        game.restore_state(game.save_state(), 0)
