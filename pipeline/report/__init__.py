"""What a person reads at the end: the tables of the README, the findings, the summary in the terminal, decisions."""
