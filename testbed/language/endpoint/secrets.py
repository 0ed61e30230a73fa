"""Keys: read from the environment, never written anywhere."""

from __future__ import annotations

import os
import re

from testbed.errors import UserError

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
KEY_LIKE = re.compile(r"\b(sk|pk|rk|hf|gsk|xai)[-_][A-Za-z0-9_\-]{12,}")
HIDDEN = "[key]"


def checked_variable(name: str) -> str:
    """The name of an environment variable, or '' for none. ValueError, without the text, where it may be a key."""
    if name == "":
        return name
    digits = sum(char.isdigit() for char in name)
    random = len(name) >= 20 and (digits >= 4 or (name != name.upper() and name != name.lower()))
    if not VARIABLE.fullmatch(name) or KEY_LIKE.search(name) or random:
        raise ValueError(
            "expected the name of an environment variable, such as OPENAI_API_KEY, got something that looks like "
            "a key; keys do not belong into a scenario"
        )
    return name


def key_from(variable: str, *, needed: bool) -> str:
    """The key in an environment variable; '' without one. UserError where one is needed."""
    key = os.environ.get(variable, "").strip() if variable else ""
    if needed and variable and not key:
        raise UserError(
            f"the environment variable {variable} is not set; put the server's key there, or write "
            "api_key_env: '' for a server that wants none"
        )
    if not (key.isascii() and key.isprintable()):
        raise UserError(
            f"the environment variable {variable} holds no key: it has characters that none can have"
        )
    return key


def without(key: str, text: str) -> str:
    """A text without the key, and without what looks like one."""
    if key:
        text = text.replace(key, HIDDEN)
    return KEY_LIKE.sub(HIDDEN, text)
