"""Plots as matplotlib figures, from arrays and tables, without files and without pyplot's global state."""
