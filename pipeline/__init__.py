"""A reproducible study of regularization: five notebooks as one DVC pipeline with MLflow tracking."""
