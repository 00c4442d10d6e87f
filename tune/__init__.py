"""Searches for hyperparameters: spaces, objectives, samplers, workers, confirmation and export."""
