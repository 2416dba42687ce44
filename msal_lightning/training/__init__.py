"""Needs of a fit beyond Lightning's Trainer."""
