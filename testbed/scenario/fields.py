"""Types of single values in a scenario, each with one plain message when it is wrong."""

from __future__ import annotations

import re
from collections import Counter
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from testbed.errors import hinted, shown

ARMS = ("clean", "attack", "random_tokens", "honest_text")
"""The arms that a scenario with an attack has unless it names others."""
HISTORY_ARMS = ("clean", "attack", "random_items")
"""The same where the threat allows items in histories."""
KNOWN_ARMS = (*ARMS, "random_items")
"""The arms that a scenario may ask for; the floor `clean_again` is added by itself where a stack samples."""

Name = Annotated[str, Field(min_length=1, max_length=1000)]


def _slug(value: str) -> str:
    if re.fullmatch(r"[a-z0-9]+([-_.][a-z0-9]+)*", value) and len(value) <= 80:
        return value
    near = re.sub(r"[^a-z0-9]+", "-", value.casefold()).strip("-")[:80].strip("-")
    hint = f"; did you mean {near!r}?" if near else ""
    raise ValueError(
        f"expected lower-case letters, digits, '-', '_' and '.' (at most 80), got {shown(value)}{hint}"
    )


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _texts(value: Any) -> bool:
    return (
        isinstance(value, list | tuple)
        and bool(value)
        and all(isinstance(text, str) and text for text in value)
    )


def _requests(value: Any) -> int | str | tuple[str, ...]:
    if value == "all" or (_whole(value) and value >= 1):
        result: int | str = value
        return result
    if _texts(value):
        return tuple(value)
    message = f"expected a number from 1, a list of request ids, or all; got {shown(value)}"
    raise ValueError(hinted(message, str(value), ["all"]))


def _slots(value: Any) -> str | tuple[int, ...]:
    if value in ("spread", "late"):
        return str(value)
    if isinstance(value, list | tuple) and value and all(_whole(slot) and slot >= 0 for slot in value):
        return tuple(value)
    message = f"expected spread, late, or a list of positions from 0; got {shown(value)}"
    raise ValueError(hinted(message, str(value), ["spread", "late"]))


def _seeds(value: Any, validate: ValidatorFunctionWrapHandler) -> tuple[int, ...]:
    """Wraps the check of the single seeds, so that one wrong seed does not hide another that is there twice."""
    try:
        seeds: tuple[int, ...] = validate(value)
        wrong: list[InitErrorDetails] = []
    except ValidationError as error:
        seeds = tuple(filter(_whole, value)) if isinstance(value, list | tuple) else ()
        wrong = [_again(detail) for detail in error.errors(include_url=False)]
    twice = [seed for seed, times in Counter(seeds).items() if times > 1]
    wrong += [
        {"type": PydanticCustomError("value_error", f"the seed {seed} is listed twice"), "input": value}
        for seed in twice
    ]
    if wrong:
        raise ValidationError.from_exception_data("seeds", wrong)
    return seeds


def _again(detail: ErrorDetails) -> InitErrorDetails:
    """An error that pydantic found, in the shape in which it takes one."""
    return {
        "type": detail["type"],
        "loc": detail["loc"],
        "input": detail["input"],
        "ctx": detail.get("ctx", {}),
    }


def _arm(arm: str) -> str:
    if arm == "clean_again":
        raise ValueError("clean_again is added by itself where the stack samples; leave it out")
    if arm not in KNOWN_ARMS:
        raise ValueError(
            hinted(f"unknown arm {shown(arm)} (known: {', '.join(KNOWN_ARMS)})", arm, KNOWN_ARMS)
        )
    return arm


Arm = Annotated[str, AfterValidator(_arm)]
Slug = Annotated[str, AfterValidator(_slug)]
Requests = Annotated[int | Literal["all"] | tuple[str, ...], BeforeValidator(_requests)]
Slots = Annotated[Literal["spread", "late"] | tuple[int, ...], BeforeValidator(_slots)]
Seeds = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1), WrapValidator(_seeds)]
