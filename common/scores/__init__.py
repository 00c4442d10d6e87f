"""Scores of runs: logs of any kind read, their statistics, curves and figures."""
