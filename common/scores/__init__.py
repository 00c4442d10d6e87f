"""Scores of runs: reading of logs of any kind, statistics, learning curves and figures."""
