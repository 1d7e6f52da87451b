"""The figures that the sources report, from reported_results.yaml: only ever set beside our own, never used."""
