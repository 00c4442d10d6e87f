"""Reinforcement learning: environments, algorithms, training, evaluation, replay and inspection of runs."""
