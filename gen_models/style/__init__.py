"""Artistic style transfer for videos."""
