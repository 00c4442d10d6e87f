"""A DCGAN, to compare the diffusion model with: its networks, training and samples."""
