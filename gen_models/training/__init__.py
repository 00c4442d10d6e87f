"""Training of a denoiser."""
