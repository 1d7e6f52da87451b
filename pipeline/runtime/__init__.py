"""What a process runs on: how it starts and ends, its compute backend, its progress on a terminal, the fork server."""
