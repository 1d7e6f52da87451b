"""The sine waves: data, error measures, the source's questions and reported predictions, plots."""
