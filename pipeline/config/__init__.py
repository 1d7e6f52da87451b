"""The parameters of a project: params.yaml and the files in params as frozen, typed objects, and their checks.

`section` has the base class; `data`, `models` and `studies` the sections by topic; `params` all of them as one object;
`references` the checks across sections; `load` reads the files and reports what is wrong by file and key.

The objects hold what the files say: a key that is absent means "none", "no" or "off", never a hidden number. DVC tracks
the values themselves, so a stage need not rerun when only a check changes.
"""
