"""The exceptions whose text is written for the user."""


class UserError(Exception):
    """A problem that the user can fix. It says what is wrong, where, and what to do. Shown without a traceback."""


class DiskFullError(UserError):
    """A file could not be written because the disk is full."""
