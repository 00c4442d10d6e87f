"""The search for high scores with an emulator that can be put back to any moment of a game."""
