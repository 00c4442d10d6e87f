"""Conditions, noise, denoiser, guidance and sampling.

Credits: none.
"""
