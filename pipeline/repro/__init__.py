"""Whole runs of the pipeline: in parallel, as a demonstration, verified against dvc.lock, traced by lineage."""
