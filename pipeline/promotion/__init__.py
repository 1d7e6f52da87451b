"""Champions of registered models: promoted if they pass the checks of their gate, rolled back, and listed."""
