"""Replay and rollout buffers.

Credits: none.
"""
