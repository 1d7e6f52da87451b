"""The one exception that a user is meant to see: its text is the whole message."""


class PipelineError(Exception):
    """Bad input or a missing condition, told without a traceback.

    The text names the file or key, what was expected, what was received, and what to do.
    """
