"""What grid searches and refits say about conclusions that a source drew from its own: numbers in, verdicts out."""
