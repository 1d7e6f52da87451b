"""How good models are: scores and statistics on a test set, comparisons, selection, the sources' reported figures."""
