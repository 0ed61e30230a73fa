"""What a server answered, read with suspicion: nothing in it is trusted to be there or to be of its type."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, TypeAdapter, ValidationError

from testbed.language.endpoint.question import Question


class BadAnswer(Exception):
    """Not an answer; asking again may help."""


class NoLogProbs(Exception):
    """An answer without the log-probabilities that were asked for; asking again does not help."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer. `log_prob`: of the ending that was asked for, which has `tokens` tokens; else None and 0."""

    text: str
    finish: str = ""
    refusal: str = ""
    log_prob: float | None = None
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """The answers to one request and its tokens, as the server counts them (`counted` False: estimated).

    `cached_tokens`: those of the input that the server had kept. `model`: what it says it is.
    """

    choices: tuple[Choice, ...]
    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    counted: bool = True
    model: str = ""


def _parts(value: Any) -> Any:
    """Content that comes as a list of parts, put together."""
    if isinstance(value, list):
        return "".join(part.get("text") or "" for part in value if isinstance(part, dict))
    return value


Count = Annotated[int, Field(ge=0, le=10**9)]


class _Details(BaseModel):
    cached_tokens: Count | None = None


class _Usage(BaseModel):
    prompt_tokens: Count
    completion_tokens: Count = 0
    prompt_tokens_details: _Details | None = None


class _Message(BaseModel):
    content: Annotated[str | None, BeforeValidator(_parts)] = None
    refusal: str | None = None


class _LogProbs(BaseModel):
    tokens: list[str]
    token_logprobs: list[float | None]
    text_offset: list[int] | None = None


class _Choice(BaseModel):
    index: int = 0
    finish_reason: str | None = None
    message: _Message | None = None
    text: str | None = None
    logprobs: Any = None


class _Body(BaseModel):
    choices: list[_Choice]
    usage: _Usage | None = None
    model: str | None = None


_BODY = TypeAdapter(_Body)
CHARACTERS_PER_TOKEN = 4


def read(question: Question, raw: bytes) -> Answer:
    """The answer in the body of a response. BadAnswer, or NoLogProbs where they were asked for in vain."""
    try:
        body = _BODY.validate_json(raw)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in fault["loc"])
        raise BadAnswer(
            f"not the JSON of an answer ({place + ': ' if place else ''}{fault['msg']})"
        ) from None
    wanted = max(1, len(question.endings))
    found = sorted(body.choices, key=lambda choice: choice.index)
    if len(found) < wanted or [choice.index for choice in found[:wanted]] != list(range(wanted)):
        raise BadAnswer(f"{len(found)} choices where {wanted} were expected")
    if question.endings:
        choices = tuple(_scored(*pair) for pair in zip(found, question.endings, strict=False))
    else:
        choices = (_written(found[0]),)
    if body.usage is not None:
        details = body.usage.prompt_tokens_details
        kept = min((details.cached_tokens if details else None) or 0, body.usage.prompt_tokens)
        counts = (body.usage.prompt_tokens, body.usage.completion_tokens, kept, True)
    else:
        output = len(question.endings) or len(choices[0].text) // CHARACTERS_PER_TOKEN + 1
        counts = (question.size // CHARACTERS_PER_TOKEN + 1, output, 0, False)
    return Answer(choices, *counts, model=(body.model or "")[:200])


def _written(choice: _Choice) -> Choice:
    if choice.message is None and choice.text is None:
        raise BadAnswer("a choice without message and text")
    text = choice.text if choice.message is None else choice.message.content
    refusal = (choice.message.refusal if choice.message else None) or ""
    return Choice(text or "", choice.finish_reason or "", refusal)


def _scored(choice: _Choice, ending: str) -> Choice:
    if choice.logprobs is None:
        raise NoLogProbs
    try:
        found = _LogProbs.model_validate(choice.logprobs)
    except ValidationError:
        raise NoLogProbs from None
    if len(found.tokens) != len(found.token_logprobs):
        raise BadAnswer("as many log-probabilities as tokens were expected")
    span = _tokens_of(ending, found.tokens)
    if span is None and found.text_offset is not None and len(found.text_offset) == len(found.tokens):
        span = _tokens_at(ending, choice.text or "", found.text_offset)
    if span is None:
        raise NoLogProbs
    values = found.token_logprobs[span]
    if not values or any(value is None or not math.isfinite(value) or value > 1e-3 for value in values):
        raise BadAnswer("log-probabilities that are none")
    return Choice(
        "", choice.finish_reason or "", "", math.fsum(value or 0.0 for value in values), len(values)
    )


def _tokens_of(ending: str, tokens: Sequence[str]) -> slice | None:
    """The tokens that make up `ending` at the end of what they spell, or before the one token that was generated."""
    offsets = [0]
    for token in tokens:
        offsets.append(offsets[-1] + len(token))
    return _tokens_at(ending, "".join(tokens), offsets[:-1])


def _tokens_at(ending: str, text: str, offsets: Sequence[int]) -> slice | None:
    """The same, where the tokens are known to begin at these places of the text."""
    ends = [*offsets[1:], len(text)]
    for stop in (*offsets[-1:], len(text)):
        start = stop - len(ending)
        if start >= 0 and text[start:stop] == ending:
            touched = [i for i, begin in enumerate(offsets) if begin < stop and ends[i] > start]
            return slice(touched[0], touched[-1] + 1) if touched else None
    return None
