"""One module per DVC stage, with `main(workspace, params, name)`: load, call, save. Stages never import each other."""
