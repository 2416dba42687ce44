"""The active-learning loop and its parts: read ``loop.py`` first."""
