"""Distances, clusters, coverage and gradients that several strategies need."""
