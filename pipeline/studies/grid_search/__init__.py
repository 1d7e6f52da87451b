"""The grid searches: their reported outcomes, and what they say about five conclusions of their source."""
