"""What only one study asks of its results: a package each, with its measures, its questions and its plots."""
