"""The process that a stage runs in: its start and end, Keras backend, progress on a terminal, and the fork server."""
