"""Where a served model is, and how it may be asked."""

from __future__ import annotations

import hashlib
import ipaddress
import os
from dataclasses import dataclass
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field

from testbed.errors import UserError, shown
from testbed.language.endpoint.secrets import without

OPENAI = "https://api.openai.com/v1"
URL_VARIABLE = "OPENAI_BASE_URL"


class Price(BaseModel):
    """What a server asks for a million tokens, in one currency."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    input: float = Field(ge=0, allow_inf_nan=False)
    """For a million tokens of prompts."""
    output: float = Field(ge=0, allow_inf_nan=False)
    """For a million tokens of answers."""

    def of(self, input_tokens: float, output_tokens: float) -> float:
        """Money for so many tokens."""
        return (input_tokens * self.input + output_tokens * self.output) / 1e6


@dataclass(frozen=True, slots=True)
class Server:
    """An address with the manners to keep there.

    `timeout`: seconds from sending a request to the last byte of its answer. `retries`: attempts after the
    first. `concurrency`: requests under way at once in one process. `requests_per_minute`, `tokens_per_minute`
    and `max_cost` hold for all processes together.
    """

    url: str
    model: str
    key_variable: str = ""
    timeout: float = 120.0
    retries: int = 5
    concurrency: int = 8
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    price: Price | None = None
    max_cost: float | None = None

    @property
    def name(self) -> str:
        """The model and where it is, for people."""
        return f"{self.model} at {self.url}"

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits of model and address; what answers there cannot be identified any better."""
        return hashlib.sha256(f"{self.url} {self.model}".encode()).hexdigest()[:16]

    @property
    def local(self) -> bool:
        """Whether it is on this machine: such a server needs no key, and no proxy is asked."""
        return is_loopback(urlsplit(self.url).hostname or "")


def is_loopback(host: str) -> bool:
    """Whether a host name stands for this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def address(option: str | None) -> str:
    """The address that is used: the option, else OPENAI_BASE_URL, else OpenAI's own. UserError as `checked_url`."""
    if option is not None:
        return checked_url(option, "base_url")
    return checked_url(os.environ.get(URL_VARIABLE) or OPENAI, URL_VARIABLE)


def checked_url(url: str, what: str) -> str:
    """The address without a slash at its end. UserError when it is none, or holds what may be a secret."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise UserError(_no_address(url, what)) from None
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise UserError(
            f"{what}: an address with a user, a password or a query may hold a secret, and would be written into "
            "the manifest; keep secrets in the environment variable that api_key_env names"
        )
    if parts.scheme not in ("http", "https") or not host or not url.isascii() or not url.isprintable():
        raise UserError(_no_address(url, what))
    return url.rstrip("/")


def _no_address(url: str, what: str) -> str:
    return f"{what}: {shown(without('', url))} is no address; write for instance http://localhost:8000/v1"
