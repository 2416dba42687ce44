"""Annotation in CSV files, with a contact sheet that shows the images."""
