"""Hyperparameters in rl-baselines3-zoo's format.

Credits: none.
"""
