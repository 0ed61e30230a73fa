"""The recommender stage: renders a slate, asks the server, returns the ranking."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from retrievers.llm.matching import match
from retrievers.llm.prompt import Renderer, list_messages
from retrievers.llm.ranked import ranked
from retrievers.llm.readings import Reply
from testbed.language.chat import as_text
from testbed.language.endpoint import Answer, Endpoint, Failed, Question
from testbed.protocols import Context
from testbed.types import Slate, Usage

if TYPE_CHECKING:
    from retrievers.endpoint.plugin import EndpointRecommender
    from testbed.catalog import Catalog
    from testbed.environment import Environment

SPECIALS = (
    *("<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"),
    *("<|start_header_id|>", "<|end_header_id|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"),
    *(
        "<start_of_turn>",
        "<end_of_turn>",
        "[INST]",
        "[/INST]",
        "<<SYS>>",
        "<</SYS>>",
        "<s>",
        "</s>",
        "<bos>",
        "<eos>",
    ),
    *("<|start|>", "<|message|>", "<|channel|>", "<think>", "</think>"),
)
"""Special tokens of common chat templates. Many servers read them in what users write; data must not become control."""
THOUGHTS = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)
OVERHEAD = 64
"""Tokens that a chat template may add."""


class ServedRecommender:
    """A served model as the last stage of a stack, read by the names in its answers."""

    def __init__(self, options: EndpointRecommender, catalog: Catalog, env: Environment) -> None:
        self.options, self.catalog = options, catalog
        server = options.server()
        self.endpoint = Endpoint(server, cache=env.cache if options.cache else None, run=env.run)
        self.model = Served(server.name, server.fingerprint)
        self.tokenizer = _tokenizer(options.tokenizer, env) if options.tokenizer else None
        own = tuple(token for token in getattr(self.tokenizer, "all_special_tokens", ()) if len(token) > 1)
        self.renderer = Renderer(
            options.template, options.field_limit, tuple(dict.fromkeys((*own, *SPECIALS)))
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """For the manifest."""
        return (
            f"The answers of {self.model.name} came over the network: the fingerprint is that of name and address, "
            "and what stands behind them may change. Answers are kept, so a repeated run shows those of the first.",
        )

    def __call__(self, context: Context, *inputs: Slate) -> Slate:
        return self.many([(context, inputs)])[0]

    def many(self, calls: Sequence[tuple[Context, tuple[Slate, ...]]]) -> list[Slate]:
        """Rankings for many calls, asked concurrently. A question without answer has the status `error`."""
        shown = [self.present(context, inputs[0]) for context, inputs in calls]
        asked = [index for index, slate in enumerate(shown) if len(slate)]
        answers = self.endpoint.ask([self.question(calls[index][0], shown[index]) for index in asked])
        replies = {
            index: self.reply(shown[index], answer) for index, answer in zip(asked, answers, strict=True)
        }
        return [ranked(slate, replies.get(index)) for index, slate in enumerate(shown)]

    def present(self, context: Context, slate: Slate) -> Slate:
        """The slate in the order in which the model sees it."""
        return context.arrange(slate) if self.options.order == "shuffled" else slate

    def name(self, item_id: str) -> str:
        """The name by which the model has to call an item: the catalog's, whatever the listing says."""
        return self.renderer.clean(self.catalog.name_of(item_id))

    def messages(self, context: Context, shown: Slate) -> list[dict[str, str]]:
        """The conversation up to the answer."""
        products = self.renderer.listings(shown.listings, self.catalog.name_field)
        wish = self.renderer.disarmed(context.request.text)
        return list_messages(self.options.system, products, wish, self.options.request_template)

    def text(self, context: Context, shown: Slate) -> str:
        """The whole prompt as text, for servers that take one."""
        return as_text(self.tokenizer, self.messages(context, shown), self.options.start)

    def question(self, context: Context, shown: Slate) -> Question:
        """What is asked about a presented slate."""
        options = self.options
        body: dict[str, Any] = {"model": options.model, options.token_limit: options.max_new_tokens}
        if options.api == "chat":
            body["messages"] = self.messages(context, shown)
            if options.start:
                body["messages"].append({"role": "assistant", "content": options.start})
        else:
            body["prompt"] = self.text(context, shown)
        if options.temperature is not None:
            body["temperature"] = options.temperature
        if options.temperature != 0 and options.send_seed:
            body["seed"] = context.seed % 2**31
        return Question(
            "chat/completions" if options.api == "chat" else "completions",
            body | options.extra,
            0 if options.deterministic else context.seed,
        )

    def reply(self, shown: Slate, answer: Answer | Failed) -> Reply:
        """The ranking in an answer."""
        if isinstance(answer, Failed):
            return Reply((), None, "error", note=answer.note)
        (choice,) = answer.choices
        if choice.refusal or (choice.finish == "content_filter" and not choice.text):
            note = choice.refusal[:200] or "the server filtered the answer"
            return Reply((), None, "refusal", self.usage(answer), note)
        found = match(THOUGHTS.sub("", choice.text), tuple(self.name(listing.item_id) for listing in shown))
        note = found.note
        if choice.finish == "length" and found.status != "ok":
            note = f"{note}; cut at {self.options.max_new_tokens} tokens".removeprefix("; ")
        return Reply(found.ranking, None, found.status, self.usage(answer), note, choice.text)

    def usage(self, answer: Answer) -> Usage:
        """What an answer took, the same whether it was kept or asked for; `computed` is less what the server kept."""
        tokens = answer.input_tokens + answer.output_tokens
        return Usage(
            tokens=tokens, computed=tokens - answer.cached_tokens, money=self.endpoint.ledger.cost(answer)
        )

    def price(self, context: Context, slate: Slate) -> int:
        """Most tokens of one call: as many as the texts have bytes."""
        if not len(slate):
            return 0
        question = self.question(context, self.present(context, slate))
        return question.size + OVERHEAD * max(1, len(question.endings)) + question.longest_answer


class Served:
    """What the manifest says about a served model."""

    parameters = None
    device = "remote"
    dtype = "unknown"

    def __init__(self, name: str, fingerprint: str) -> None:
        self.name, self.fingerprint = name, fingerprint


def _tokenizer(name: str, env: Environment) -> Any:
    from testbed.language.tokenizer import load_tokenizer

    return load_tokenizer(name, env.cache)
