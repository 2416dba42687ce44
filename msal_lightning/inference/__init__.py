"""The trained model in use: predictions for new images, and files for other programs."""
