"""How good models are: scores and statistics on a test set, comparisons, selection, what the sources report."""
