"""The one exception a user is meant to read."""

LONGEST = 1800
"""Letters of a line; a value that is longer is shown by its beginning and its end."""


class UserError(ValueError):
    """Bad input: what was wrong, its value, and the way out, in one line (exit status 2)."""

    def __init__(self, line: object = "") -> None:
        """`line` is cut in its middle where it is too long to be read."""
        text, half = str(line), LONGEST // 2
        super().__init__(text if len(text) <= LONGEST else f"{text[:half]} ... {text[-half:]}")
