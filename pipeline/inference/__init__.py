"""Predictions for a user's own files: what can be read, how a picture becomes an image, what a champion answers."""
