"""A served model: many questions at once, each paid for once, failures told apart from answers."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from testbed.errors import StopRun
from testbed.language.endpoint.answer import CHARACTERS_PER_TOKEN, Answer, BadAnswer, NoLogProbs, read
from testbed.language.endpoint.cache import Answers
from testbed.language.endpoint.ledger import Ledger
from testbed.language.endpoint.pace import Pace
from testbed.language.endpoint.question import Question
from testbed.language.endpoint.secrets import key_from
from testbed.language.endpoint.server import Server
from testbed.language.endpoint.shared import Shared
from testbed.language.endpoint.transport import CallFailed, Transport

FIRST_WAIT, LONGEST_WAIT, PATIENCE = 0.5, 30.0, 300.0
"""Seconds: before the second attempt at most, before any attempt, and the longest that a server may ask for."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A question that got no answer after all attempts. `lasting`: refused, or the server cannot be reached."""

    note: str
    lasting: bool = False


class Endpoint:
    """A model behind an address. Answers are kept in `cache` (None: not at all), the books in `run`.

    UserError when the key or the client package is missing.
    """

    def __init__(self, server: Server, *, cache: Path | None, run: Path | None) -> None:
        self.server = server
        key = key_from(server.key_variable, needed=not server.local)
        self._transport = Transport(server, key)
        self._answers = Answers(cache / "endpoint" / "answers") if cache is not None else None
        self.ledger = Ledger(server.price, server.max_cost, run)
        limited = server.requests_per_minute or server.tokens_per_minute
        together = cache / "endpoint" / "pace" / f"{server.fingerprint}.json" if cache and limited else None
        self._pace = Pace(server.requests_per_minute, server.tokens_per_minute, Shared(together))
        self._stop = threading.Event()
        self._cause: StopRun | None = None
        self._answered = False
        self._jitter = random.Random()

    def ask(self, questions: Sequence[Question]) -> list[Answer | Failed]:
        """An answer or a failure for each question; equal ones are asked once.

        StopRun where no further question can succeed or be afforded. What is under way is waited for, also
        when interrupted: it is paid for, so it is kept.
        """
        keys = [question.key(self.server.url) for question in questions]
        wanted = dict(zip(keys, questions, strict=True))
        found: dict[str, Answer | Failed] = {}
        for key in wanted if self._answers is not None else ():
            known = self._answers.get(key) if self._answers is not None else None
            if known is not None:
                found[key] = known
        self.ledger.from_cache(sum(key in found for key in keys))
        found |= self._fetched({key: question for key, question in wanted.items() if key not in found})
        self._never_answered(list(found.values()), scoring=any(question.endings for question in questions))
        return [found[key] for key in keys]

    def _fetched(self, wanted: dict[str, Question]) -> dict[str, Answer | Failed]:
        if not wanted:
            return {}
        self._stop.clear()
        self._cause = None
        with ThreadPoolExecutor(min(self.server.concurrency, len(wanted))) as pool:
            jobs: dict[str, Future[Answer | Failed]] = {
                key: pool.submit(self._one, key, question) for key, question in wanted.items()
            }
            try:
                done, _ = wait(jobs.values(), return_when=FIRST_EXCEPTION)
                for job in done:
                    job.result()
            except BaseException:
                self._stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
            return {key: job.result() for key, job in jobs.items()}

    def _one(self, key: str, question: Question) -> Answer | Failed:
        """One question. What ends the run ends it for the others in the same moment."""
        try:
            return self._asked(key, question)
        except StopRun as cause:
            self._cause = self._cause or cause
            self._stop.set()
            raise self._cause from None

    def _asked(self, key: str, question: Question) -> Answer | Failed:
        """One question, asked until there is an answer or no more attempt; the answer is kept."""
        fault = CallFailed("")
        for attempt in range(self.server.retries + 1):
            self._pace.wait(question.size / CHARACTERS_PER_TOKEN + question.longest_answer, self._stop)
            if self._stop.is_set():
                raise StopRun("stopped")
            try:
                answer = self._attempt(question)
            except CallFailed as failed:
                fault = failed
            else:
                if self._answers is not None:
                    self._answers.put(key, answer)
                self._answered = True
                return answer
            if fault.stop and (fault.status in (401, 402, 429) or not self._answered):
                raise StopRun(f"{self.server.name}: {fault.message}")
            if not fault.again:
                break
            if fault.wait is not None and fault.wait > PATIENCE:
                raise StopRun(
                    f"{self.server.name}: {fault.message}: it asks to wait {fault.wait:.0f} s; "
                    "the same command goes on then"
                )
            if attempt < self.server.retries:
                self._rest(attempt, fault)
        refused = 400 <= fault.status < 500 and not fault.again
        unreached = fault.status == 0 and not fault.charged
        return Failed(f"{self.server.model}: {fault.message}", refused or unreached)

    def _attempt(self, question: Question) -> Answer:
        price = self.server.price
        worst = price.of(question.size + 64, question.longest_answer) if price else 0.0
        self.ledger.begin(worst)
        try:
            answer = read(question, self._transport.post(question.path, question.content))
        except CallFailed as failed:
            self.ledger.failed(worst, charged=failed.charged)
            raise
        except BadAnswer as bad:
            self.ledger.failed(worst, charged=True)
            raise CallFailed(f"the server sent {bad}", again=True, charged=True, status=200) from None
        except NoLogProbs:
            self.ledger.failed(worst, charged=True)
            raise StopRun(
                f"{self.server.name}: the server returns no log-probabilities of the prompt (it does not know `echo` "
                "with `logprobs`), which reading: likelihood needs; write reading: generate"
            ) from None
        self.ledger.answered(worst, answer)
        return answer

    def _rest(self, attempt: int, fault: CallFailed) -> None:
        """Wait before the next attempt: as long as the server says, else longer every time, never all at once."""
        if fault.wait is not None:
            self._pace.pause(fault.wait)
            self._stop.wait(fault.wait)
        else:
            longest = min(LONGEST_WAIT, FIRST_WAIT * 2**attempt)
            self._stop.wait(longest * self._jitter.uniform(0.5, 1.0))

    def _never_answered(self, found: Sequence[Answer | Failed], *, scoring: bool) -> None:
        """StopRun when the server never answered and refused, or could not be reached for, all that was asked now."""
        failed = [one for one in found if isinstance(one, Failed) and one.lasting]
        if found and len(failed) == len(found) and not self._answered:
            text = f"{self.server.url}: {failed[0].note}; nothing was answered yet, so the run ends here"
            hint = (
                " (where it knows no lists of prompts, or no `echo` with `logprobs`, write reading: generate)"
            )
            raise StopRun(text + (hint if scoring else ""))
