"""Errors that a user can cause: one clear message, no traceback, exit code 2."""

from __future__ import annotations


class UserError(Exception):
    """Something outside the program is wrong (a file, a name, an option). Its text is the whole message."""

    exit_code = 2


class CatalogError(UserError):
    """A catalog cannot be used as it is. The text has one `file:line: message` a fault."""
