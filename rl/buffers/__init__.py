"""Replay and rollout buffers."""
