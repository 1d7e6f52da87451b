"""The parameters of a project: params.yaml and the files in params as frozen, typed objects, and their checks.

What this package hands on is what the files say: a key that is absent means "none", "no" or "off", never a hidden
number. DVC tracks the values themselves, so a stage need not rerun when only a check changes.
"""
