"""Arrays in, matplotlib figures out: no files, no pyplot state."""
