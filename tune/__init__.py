"""Hyperparameter search: search spaces, objectives, samplers, workers, confirmation and export."""
