"""Callbacks for Stable-Baselines3's training loop, usable in anybody's own script.

Credits: Stable-Baselines3's callback interface (Raffin et al. 2021, JMLR 22).
"""
