"""The draft of a paper on an agent: equations of its algorithm, settings, learning curve and scores.

Credits: Schulman et al. 2017 (arXiv 1707.06347), Mnih et al. 2015, Dabney et al. 2018 (arXiv 1710.10044) and Oh et al.
2018 (arXiv 1806.05635) for the equations, which are those of the algorithms in ``rl.algorithms``.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from common.run_folder import RunFolder
from common.scores.curves import blocks, learning_curve
from common.scores.logs import ScoreLog, read_log
from common.scores.plots import plot_learning_curves
from common.scores.statistics import summarise
from rl.settings import RunSettings
from submission.paper.draft import Draft
from submission.paper.text import escaped, figure, table

PPO = r"""
\paragraph{Proximal policy optimisation.} With the ratio $r_t(\theta) = \pi_\theta(a_t | s_t) / \pi_{\theta_k}(a_t |
s_t)$ and advantages $\hat A_t = \sum_l (\gamma\lambda)^l \delta_{t+l}$, $\delta_t = r_t + \gamma V(s_{t+1}) - V(s_t)$
\citep{schulman2016}, the agent maximises \citep{schulman2017}
\begin{equation}
\mathcal{L}(\theta) = \mathbb{E}_t \left[ \min\left( r_t(\theta) \hat A_t,
\operatorname{clip}(r_t(\theta), 1 - \varepsilon, 1 + \varepsilon) \hat A_t \right)
- c_v \left( V_\theta(s_t) - \hat R_t \right)^2 + c_e \mathcal{H}[\pi_\theta(\cdot | s_t)] \right].
\end{equation}
"""
DQN = r"""
\paragraph{Deep Q-learning.} From transitions $(s, a, r, s')$ of a replay buffer the network learns \citep{mnih2015}
\begin{equation}
\mathcal{L}(\theta) = \mathbb{E} \left[ \ell\left( r + \gamma \max_{a'} Q_{\theta^-}(s', a') - Q_\theta(s, a) \right)
\right],
\end{equation}
where $\ell$ is the Huber loss and $\theta^-$ a copy of the weights that is renewed now and then.
"""
QRDQN = r"""
\paragraph{Quantile regression.} The network predicts $N$ quantiles $\theta_i(s, a)$ of the return, at $\hat\tau_i = (2i
- 1) / 2N$, and learns \citep{dabney2018}
\begin{equation}
\mathcal{L} = \frac{1}{N} \sum_{i,j} \left| \hat\tau_i - \mathbb{1}\{u_{ij} < 0\} \right| \ell(u_{ij}), \qquad
u_{ij} = r + \gamma \theta_j(s', a^*) - \theta_i(s, a),
\end{equation}
with the Huber loss $\ell$ and $a^* = \arg\max_a \frac{1}{N} \sum_j \theta_j(s', a)$.
"""
SELF_IMITATION = r"""
After each update the agent imitates those of its past actions that led to more than it expected \citep{oh2018},
$\mathcal{L} = \mathbb{E}[ -\log \pi(a | s) (R - V(s))_+ + \beta (R - V(s))_+^2 / 2 ]$.
"""
EQUATIONS = {"ppo": PPO, "dqn": DQN, "qrdqn": QRDQN}
NAMES = {"ppo": "proximal policy optimisation", "dqn": "deep Q-learning", "qrdqn": "quantile-regression Q-learning"}
SHOWN = (
    "policy_kwargs", "n_envs", "n_steps", "n_epochs", "batch_size", "learning_rate", "gamma", "gae_lambda",
    "clip_range", "vf_coef", "ent_coef", "buffer_size", "learning_starts", "train_freq", "target_update_interval",
    "exploration_fraction", "exploration_final_eps",
)  # fmt: skip


def agent_draft(run: Path) -> Draft:
    """The draft of a run's paper.

    :raises UserError: when the run or its log is missing
    """
    settings = RunSettings.from_yaml(RunFolder(run).settings)
    log = read_log(run)
    env = settings.environment.env_id
    equations = EQUATIONS.get(settings.algo, "") + (SELF_IMITATION if settings.self_imitation else "")
    curve = figure(
        [("learning-curve.pdf", 0.85)],
        "Learning curve: mean score of the last 100 games, the quartiles shaded. One training, one seed.",
    )
    return Draft(
        own={
            "title.tex": f"{NAMES.get(settings.algo, settings.algo).capitalize()} on {escaped(env)}\n",
            "abstract.tex": f"An agent learns {escaped(env)} by {NAMES.get(settings.algo, settings.algo)}.\n",
            "methodology.tex": f"The agent learns from {escaped(settings.environment.obs)} observations, with "
            "Stable-Baselines3 \\citep{raffin2021} and gymnasium \\citep{towers2024}.\n",
            "results.tex": "Scores are those of whole games as they were played in training.\n",
            "limitations.tex": "The curve is of one seed; another seed may learn more slowly, or not at all.\n",
        },
        method=f"{equations}\n{_settings_table(settings)}",
        results=f"{curve}\n{_scores_table(log)}",
        figures={"learning-curve.pdf": _curve(log)},
    )


def _settings_table(settings: RunSettings) -> str:
    chosen = [(name, settings.hyperparameters[name]) for name in SHOWN if name in settings.hyperparameters]
    budget = f"{settings.episodes:,} games" if settings.episodes else f"{settings.timesteps:,} steps"
    rows = [("environment", settings.environment.env_id), ("budget", budget), ("seed", settings.seed), *chosen]
    return table(("setting", "value"), rows, "Settings of the training.", "ll")


def _scores_table(log: ScoreLog) -> str:
    every = max(1, len(blocks(log)) // 8)
    rows = [
        (
            f"{one.first} to {one.last}",
            f"{one.mean:.1f}",
            f"{one.std:.1f}",
            "" if one.best is None else f"{one.best:.0f}",
        )
        for one in blocks(log)[::-every][::-1]
    ]
    last = summarise(log.scores[-100:], np.random.default_rng(0))
    low, high = last.mean_interval
    curve = learning_curve(log)
    caption = (
        f"Scores of blocks of games. The last {last.n}: mean {last.mean:.1f}, 95% interval [{low:.1f}, {high:.1f}]; "
        f"best mean of {curve.window} games {curve.means.max():.1f}."
    )
    return table(("games", "mean", "deviation", "best"), rows, caption)


def _curve(log: ScoreLog) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return plot_learning_curves([log], Path(folder) / "curve.pdf").read_bytes()
