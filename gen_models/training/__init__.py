"""Training of a denoiser.

Credits: none.
"""
