"""Processes of other commands: cells of a sweep, parts of a pool."""
