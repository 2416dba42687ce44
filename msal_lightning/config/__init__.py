"""Configurations and command lines: reading them, and saying what is wrong with them."""
