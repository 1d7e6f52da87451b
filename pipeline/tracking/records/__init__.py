"""What MLflow should hold, read from the outputs of the stages. Nothing here knows MLflow.

A record is a function of the files on disk and of the parameters alone, so that a deleted database comes back the same.
"""
