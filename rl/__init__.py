"""Reinforcement learning: environments, training, evaluation, replay and inspection of runs."""
