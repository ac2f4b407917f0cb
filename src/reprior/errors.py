"""The one exception that a user is meant to read."""


class UserError(Exception):
    """Something the user can mend: says what is wrong, where, and what to do. Shown without a traceback."""


class DiskFullError(UserError):
    """A file could not be written for want of space."""
