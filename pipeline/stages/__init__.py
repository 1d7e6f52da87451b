"""One module per DVC stage: load, one call with named arguments, save, publish. Stages never import each other."""
