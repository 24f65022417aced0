"""The exceptions that stand for what the user can put right."""


class UserError(Exception):
    """Something that the user can put right.

    The message is one line: what is wrong and what to do about it. The command
    line prints it without a traceback and exits with code 2.
    """


class UnusableFile(UserError):
    """A file that cannot be used as what it should be: each medium has an error of its own below this one.

    The message reads "kind: details; what to do", on one line and without the path, which the
    caller knows better how to show.
    """
