"""The labeling page on a running loop: ``serve RUN``."""
