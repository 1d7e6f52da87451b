"""Where images come from: published IDX files, verified downloads, and demonstration data made without a network."""
