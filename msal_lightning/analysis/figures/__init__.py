"""Pictures of runs: the figures of the paper, and one that it lacks. One file a figure."""
