"""From images to a folder of features: what the command ``embed`` does."""
