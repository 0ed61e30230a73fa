"""One request over HTTP: bounded in time and size, and every way to fail named."""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from testbed.errors import UserError, visible
from testbed.language.endpoint.secrets import without
from testbed.language.endpoint.server import Server

if TYPE_CHECKING:
    import httpx2

LARGEST = 32 * 2**20
"""Bytes of an answer that are read; a list of prompts with all their log-probabilities is a few megabytes."""
LARGEST_FAULT = 16 * 2**10
NEEDED = "use: endpoint needs a package that is not installed; install it with: pip install 'ranking-testbed[openai]'"


@dataclass(eq=False)
class CallFailed(Exception):
    """An attempt that brought no answer.

    `again`: another attempt may help. `wait`: seconds that the server asked for. `stop`: no request to this
    server can succeed. `charged`: it may have been counted. `status`: of HTTP, 0 where no response came.
    """

    message: str
    again: bool = False
    wait: float | None = None
    stop: bool = False
    charged: bool = False
    status: int = 0


class Transport:
    """Sends bodies to a server. Threads may share it."""

    def __init__(self, server: Server, key: str) -> None:
        try:
            import httpx2
        except ImportError:
            raise UserError(NEEDED) from None
        self.server, self._key = server, key
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=server.concurrency)
        self._client: httpx2.Client = httpx2.Client(
            timeout=server.timeout, follow_redirects=False, trust_env=not server.local, limits=limits
        )
        self._failures: tuple[type[Exception], ...] = (httpx2.HTTPError, httpx2.StreamError)
        self._timeouts: tuple[type[Exception], ...] = (httpx2.TimeoutException,)
        self._unsent: tuple[type[Exception], ...] = (httpx2.ConnectError, httpx2.ConnectTimeout)

    def post(self, path: str, content: bytes) -> bytes:
        """The body of the response, without the key should it be in there. CallFailed for everything else."""
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        late = time.monotonic() + self.server.timeout
        url = f"{self.server.url}/{path}"
        try:
            with self._client.stream("POST", url, content=content, headers=headers) as response:
                good = response.status_code == 200
                body = self._read(response, late, LARGEST if good else LARGEST_FAULT, good)
        except self._unsent as fault:
            raise CallFailed(f"cannot reach {self.server.url} ({self._clean(fault)})", again=True) from None
        except self._timeouts:
            raise CallFailed(
                f"no answer within {self.server.timeout:g} s", again=True, charged=True
            ) from None
        except self._failures as fault:
            text = f"the connection broke ({self._clean(fault)})"
            raise CallFailed(text, again=True, charged=True) from None
        if not good:
            raise self._refused(response, body)
        return body.replace(self._key.encode(), b"[key]") if self._key else body

    def _read(self, response: httpx2.Response, late: float, most: int, good: bool) -> bytes:
        """The body up to `most` bytes and to a point in time; of a fault what there is by then."""
        body = bytearray()
        for part in response.iter_bytes():
            body += part
            if len(body) > most:
                if good:
                    raise CallFailed(f"an answer of more than {most} bytes", charged=True)
                break
            if time.monotonic() > late:
                if good:
                    text = f"no whole answer within {self.server.timeout:g} s"
                    raise CallFailed(text, again=True, charged=True)
                break
        return bytes(body[:most])

    def _refused(self, response: httpx2.Response, body: bytes) -> CallFailed:
        status = response.status_code
        detail, code = _complaint(body)
        text = f"the server answered {status}"
        text += f" ({without(self._key, visible(detail))[:300]})" if detail else ""
        if status == 401:
            return CallFailed(f"{text}: the key was not accepted{self._whence()}", stop=True, status=status)
        if status == 403:
            return CallFailed(f"{text}: access is denied{self._whence()}", stop=True, status=status)
        if status == 404:
            hint = f"is there a model {self.server.model!r}, and is the address right?"
            return CallFailed(f"{text}: {hint}", stop=True, status=status)
        if status == 402 or code in ("insufficient_quota", "billing_hard_limit_reached"):
            return CallFailed(f"{text}: the account has nothing left to spend", stop=True, status=status)
        again = status in (408, 409, 425, 429) or status >= 500
        return CallFailed(text, again=again, wait=retry_after(response.headers), status=status)

    def _whence(self) -> str:
        variable = self.server.key_variable
        return (
            f" (it is read from {variable})"
            if variable
            else " (api_key_env names no variable to read one from)"
        )

    def _clean(self, fault: Exception) -> str:
        return without(self._key, visible(str(fault)))[:200] or type(fault).__name__


def _complaint(body: bytes) -> tuple[str, str]:
    """What a server says went wrong, and its code for it; any shape is possible."""
    text = body.decode("utf-8", "replace").strip()
    with contextlib.suppress(ValueError, RecursionError):
        found: Any = json.loads(text)
        if isinstance(found, dict):
            error = found.get("error", found)
            if isinstance(error, dict):
                message = error.get("message") or error.get("detail") or ""
                return str(message)[:1000], str(error.get("code") or "")
            return str(error)[:1000], ""
    return text[:300], ""


def retry_after(headers: Any) -> float | None:
    """Seconds that a `Retry-After` header asks for, as a number or a date; None without a usable one."""
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        text = headers.get(name)
        if text is None:
            continue
        try:
            seconds = float(text) * unit
        except ValueError:
            try:
                seconds = parsedate_to_datetime(text).timestamp() - time.time()
            except (ValueError, TypeError, OverflowError):
                continue
        if 0 <= seconds < 1e9:
            return seconds
    return None
