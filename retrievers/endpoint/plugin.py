"""Options of the recommender behind an OpenAI-compatible server; the client is imported when it is built."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from retrievers.llm.options import OPENING, PromptOptions
from testbed.errors import UserError
from testbed.language.endpoint.secrets import KEY_LIKE, checked_variable
from testbed.language.endpoint.server import Price, Server, address, checked_url
from testbed.protocols import Access, Charge

if TYPE_CHECKING:
    from retrievers.endpoint.stage import ServedRecommender
    from testbed.catalog import Catalog
    from testbed.environment import Environment

OWN = ("model", "messages", "prompt", "stream", "stream_options", "n", "best_of", "echo", "logprobs", "seed")
OWN_LIMITS = ("max_tokens", "max_completion_tokens", "temperature")
SECRET = ("api_key", "apikey", "key", "authorization", "token", "access_token", "secret", "password")


class EndpointRecommender(PromptOptions):
    """Rank listings by asking a model behind an OpenAI-compatible server (extra `openai`).

    The key is read from the environment and written nowhere. See docs/endpoints.md.
    """

    model: str = Field(min_length=1)
    """The model's name on the server."""
    base_url: str | None = None
    """Address of the server up to `/v1`; by default the environment variable OPENAI_BASE_URL, else OpenAI's own."""
    api: Literal["chat", "completions"] = "chat"
    """`/chat/completions`, or `/completions` with a prompt that is written here."""
    reading: Literal["generate", "likelihood"] = "generate"
    """`generate`: names found in the answer, in their order. `likelihood`: log-probability of every name, which
    needs `api: completions` and a server that echoes the prompt with log-probabilities."""
    tokenizer: str | None = None
    """Whose chat template prompts for `completions` are written in: a packaged name, folder or hub id. Without
    one they are a plain transcript."""
    opening: str | None = None
    """How the answer is made to start. By default that of `llm` for `completions` and nothing for `chat`; given for
    `chat` it is sent as the beginning of the assistant's message, which not every server goes on with."""
    temperature: float | None = Field(default=0.0, ge=0.0, le=5.0)
    """Sampling noise; null sends none, for models that refuse it."""
    max_new_tokens: int = Field(default=300, ge=1)
    """Longest answer, thoughts included where a model writes any."""
    token_limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """What the server calls the longest answer; OpenAI's newer models want `max_completion_tokens`."""
    extra: dict[str, Any] = Field(default_factory=dict)
    """Further parameters of the request, as they are: `{top_p: 0.9}`."""
    repeatable: bool = False
    """Whether the server is known to answer the same question the same way at temperature 0. Otherwise every
    question is asked twice, and the difference is reported as noise (arm `clean_again`)."""
    send_seed: bool = True
    """Whether a seed is sent where the temperature is above 0."""
    api_key_env: str = "OPENAI_API_KEY"
    """Name of the environment variable that holds the key; '' where the server wants none."""
    timeout_seconds: float = Field(default=120.0, gt=0, le=3600)
    """From sending a request to the last byte of its answer."""
    retries: int = Field(default=5, ge=0, le=20)
    """Attempts after the first, each after a longer wait."""
    concurrency: int = Field(default=8, ge=1, le=256)
    """Requests under way at once, in each process."""
    requests_per_minute: float | None = Field(default=None, gt=0)
    """No more than so many, all processes together."""
    tokens_per_minute: float | None = Field(default=None, gt=0)
    """No more than so many, longest answers included, all processes together."""
    price: Price | None = None
    """`{input: 0.15, output: 0.6}`: money for a million tokens."""
    max_cost: float | None = Field(default=None, gt=0)
    """Ceiling of a run's money; the run stops before it is passed. Needs `price`."""
    cache: bool = True
    """Whether answers are kept on disk, so that no question is paid for twice."""

    @field_validator("api_key_env")
    @classmethod
    def _names_a_variable(cls, name: str) -> str:
        return checked_variable(name)

    @field_validator("base_url")
    @classmethod
    def _is_an_address(cls, url: str | None) -> str | None:
        try:
            return None if url is None else checked_url(url, "base_url")
        except UserError as fault:
            raise ValueError(str(fault)) from None

    @field_validator("extra")
    @classmethod
    def _adds_only(cls, extra: dict[str, Any]) -> dict[str, Any]:
        for name, value in extra.items():
            if name in (*OWN, *OWN_LIMITS):
                raise ValueError(f"{name!r} is set by the stage and cannot be given in extra")
            if name.casefold() in SECRET or KEY_LIKE.search(str(value)):
                raise ValueError(
                    f"{name!r} looks like a secret; keys belong into the variable that api_key_env names"
                )
        return extra

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.reading == "likelihood" and self.api == "chat":
            raise ValueError(
                "reading 'likelihood' needs api 'completions': chat servers give log-probabilities of the first few "
                "words of an answer at most, never of every listing's name"
            )
        if self.max_cost is not None and self.price is None:
            raise ValueError("max_cost needs a price: {input: ..., output: ...} for a million tokens")
        if self.tokenizer is not None and self.api == "chat":
            raise ValueError("tokenizer is for api 'completions'; with 'chat' the server writes the prompt")
        return self

    @property
    def deterministic(self) -> bool:
        """Whether repeating a call gives the same ranking; nobody knows of a server, unless the user does."""
        return self.repeatable and (self.temperature == 0 or self.reading == "likelihood")

    @property
    def grants(self) -> Access:  # type: ignore[override]
        """Scores where names get log-probabilities, else ranks; never gradients."""
        return Access.scores if self.reading == "likelihood" else Access.ranks

    @property
    def start(self) -> str:
        """How an answer is made to start, '' where it is not."""
        if self.opening is not None:
            return self.opening
        return OPENING if self.api == "completions" else ""

    def charge(self, tokens: int, listings: int) -> Charge:
        """One request a ranking; under `likelihood` the prompt counts once for every name."""
        scored = self.reading == "likelihood"
        given = listings * (tokens + 8) if scored else tokens
        written = listings if scored else self.max_new_tokens
        return Charge(1, given, written, self.price.of(given, written) if self.price else None)

    def server(self) -> Server:
        """The server as it is now: the address may come from the environment."""
        return Server(
            url=address(self.base_url),
            model=self.model,
            key_variable=self.api_key_env,
            timeout=self.timeout_seconds,
            retries=self.retries,
            concurrency=self.concurrency,
            requests_per_minute=self.requests_per_minute,
            tokens_per_minute=self.tokens_per_minute,
            price=self.price,
            max_cost=self.max_cost,
        )

    def build(self, catalog: Catalog, env: Environment) -> ServedRecommender:
        """Make the stage; nothing is asked yet. UserError without the client package or the key."""
        from retrievers.endpoint.scored import ScoredRecommender
        from retrievers.endpoint.stage import ServedRecommender

        kind = ScoredRecommender if self.reading == "likelihood" else ServedRecommender
        return kind(self, catalog, env)
