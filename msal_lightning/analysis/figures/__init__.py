"""Figures of runs, one module each: those of the paper, a confusion matrix, and the queried images."""
