"""Where the cells of a sweep run: on this machine, on a Ray cluster, or as jobs of SLURM."""
