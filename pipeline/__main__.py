"""Start the command line: `python -m pipeline`."""

import sys

try:
    from pipeline.cli import main
except ModuleNotFoundError as error:
    sys.exit(
        f"error: {sys.executable} has no package {error.name}. Run `make setup`, then call .venv/bin/python, or "
        "install requirements.lock into this Python."
    )

if __name__ == "__main__":
    main()
