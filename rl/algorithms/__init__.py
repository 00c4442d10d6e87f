"""Algorithms, networks and their arithmetic."""
