"""Exceptions for problems that the user can fix."""


class UserError(Exception):
    """A problem that the user can fix.

    The message is one line that says what is wrong and what to do about it. The command
    line prints it without a traceback and exits with code 2.
    """


class UnusableFile(UserError):
    """A file that cannot be used as a photo, clip or text; each medium has a subclass of its own.

    The message reads "kind: details; what to do", on one line. It leaves out the path, because the
    caller knows how to show it.
    """
