"""Files of a project: their paths, reading and writing them, and their state in DVC and Git."""
