"""MLflow as a view of what the stages saved: runs, curves, models and registered versions.

Publishing is an upsert by content key: whoever calls, and how often, there is one run for equal outputs. Most modules
import MLflow, which takes seconds, and `runtime.environment.prepare_environment` must run before that.
"""
