"""Executors run the cells of a sweep: on this machine, on a Ray cluster, or as jobs of SLURM."""
