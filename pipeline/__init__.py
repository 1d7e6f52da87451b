"""A reproducible study of regularization: five notebooks as one DVC pipeline with MLflow tracking.

docs/architecture.md says what each package is for, and which may import which.
"""
