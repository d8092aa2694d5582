"""The one exception a user is meant to read."""


class UserError(ValueError):
    """Bad input: what was wrong, its value, and the way out, in one line (exit status 2)."""
