"""What a person reads at the end: the tables of README.md and docs, a summary in the terminal, decisions."""
