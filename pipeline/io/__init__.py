"""Files of a project: where they lie, how they are read and written, and what DVC and Git say of them."""
