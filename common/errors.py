"""The one exception that stands for a user's mistake."""


class UserError(Exception):
    """Something that the user can put right.

    The message is one line: what is wrong and what to do about it. The command
    line prints it without a traceback and exits with code 2.
    """
