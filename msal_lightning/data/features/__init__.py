"""Folders of features instead of images."""
