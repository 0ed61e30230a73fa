"""Plain YAML scalars, read only where YAML 1.1 and YAML 1.2 agree on what they mean."""

from __future__ import annotations

import re

Scalar = None | bool | int | float | str

_NULL = {"", "~", "null", "Null", "NULL"}
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_OLD_BOOL = {"yes": True, "on": True, "no": False, "off": False}
_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"([-+]?[0-9]+\.[0-9]*|\.[0-9]+)([eE][-+][0-9]+)?")
_NEW_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9_]+")
_OTHER_INT = re.compile(r"[-+]?(0o[0-7_]+|0b[01_]+|0x[0-9a-fA-F_]+|[1-9][0-9]*_[0-9_]*)")
_BASE_60 = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_DATE = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt \t].*)?")
_LONGEST_NUMBER = 18


class SurpriseError(ValueError):
    """A plain scalar that does not mean the same to everybody; the text says what to write instead."""


def resolve(text: str) -> Scalar:
    """The value of a plain (unquoted) scalar. SurpriseError when readers of YAML differ about it."""
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if text[0].isalpha():
        if text.lower() in _OLD_BOOL and text in (text.lower(), text.upper(), text.capitalize()):
            meaning = str(_OLD_BOOL[text.lower()]).lower()
            raise SurpriseError(
                f'{text} reads as {meaning} in YAML 1.1: write "{text}" for the text or {meaning}'
            )
        return text
    if text[0] not in "0123456789+-.":
        return text
    return _number(text)


def _number(text: str) -> Scalar:
    if _INT.fullmatch(text) or _HEX.fullmatch(text):
        if len(text.lstrip("+-")) > _LONGEST_NUMBER:
            raise SurpriseError(f'a number of more than {_LONGEST_NUMBER} digits: write "…" for text')
        return int(text, 16) if text.startswith("0x") else int(text)
    if _LEADING_ZERO.fullmatch(text):
        plain = text.replace("_", "").lstrip("+-0") or "0"
        raise SurpriseError(
            f'{text} reads as an octal number in YAML 1.1: write {plain} or, for text, "{text}"'
        )
    if _OTHER_INT.fullmatch(text):
        raise SurpriseError(
            f'{text} is a number to some readers only: write it in decimal digits or, for text, "{text}"'
        )
    if _BASE_60.fullmatch(text):
        raise SurpriseError(
            f'{text} reads as a number to the base 60 in YAML 1.1: write "{text}" for the text'
        )
    if _NOT_FINITE.fullmatch(text):
        raise SurpriseError(
            f'{text} is no finite number: leave the key out for no limit, or write "{text}" for text'
        )
    if _DATE.fullmatch(text):
        raise SurpriseError(f'{text} reads as a date in YAML 1.1: write "{text}" for the text')
    if _NEW_FLOAT.fullmatch(text):
        value = float(text)
        if abs(value) == float("inf"):
            raise SurpriseError(f"{text} is too large for a number")
        if not _FLOAT.fullmatch(text):
            plain = str(int(value)) if value.is_integer() and abs(value) < 1e15 else written(value)
            raise SurpriseError(f'{text} reads as text in YAML 1.1: write {plain} or, for text, "{text}"')
        return value
    return text


def written(value: float) -> str:
    """A number as every reader takes it for one."""
    text = repr(value)
    mantissa, e, exponent = text.partition("e")
    if not e:
        return text
    mantissa = mantissa if "." in mantissa else mantissa + ".0"
    return f"{mantissa}e{exponent if exponent[0] in '+-' else '+' + exponent}"


def needs_quotes(text: str) -> bool:
    """Whether a text, written plainly, would be read as something else or refused."""
    try:
        return resolve(text) != text
    except SurpriseError:
        return True
