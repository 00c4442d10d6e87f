"""Labels by hand, on a page."""
