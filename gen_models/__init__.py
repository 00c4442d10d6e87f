"""Generative models: images in, attributes, denoiser, training, guidance, sampling, metrics."""
