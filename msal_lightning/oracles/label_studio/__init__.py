"""Annotation in Label Studio, a web page for one or many annotators."""
