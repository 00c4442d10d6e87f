"""Conditions, noise, denoiser, guidance and sampling."""
