"""Prior correction: a second question that asks for nothing in particular, about the same listings as shown.

score(name) = log p(name | listings, request) − log p(name | listings, neutral request). What makes a name likely
whatever is asked cancels out: its wording, its place in the list, its listing's tone. This is the domain
conditional pointwise mutual information of name and request (Holtzman et al. 2021, arXiv 2104.08315), with the
listings in the place of the domain; Zhao et al. 2021 (arXiv 2102.09690) calibrate by a content-free input in the
same spirit.
"""

from __future__ import annotations

from dataclasses import replace

from retrievers.llm.readings import Prompt
from testbed.language import Fork, Row, common_prefix
from testbed.protocols import Context


def neutral(context: Context, request: str) -> Context:
    """The same situation with another request."""
    return replace(context, request=replace(context.request, text=request))


def forked(prompt: Prompt, branches: tuple[tuple[int, ...], ...], other: Prompt | None) -> Row:
    """A row that asks for branches behind a prompt and, where the two part, behind the other one as well."""
    trunk = prompt.token_ids
    if other is None:
        return Row(trunk, branches)
    at = min(common_prefix(trunk, other.token_ids), len(trunk) - 1, len(other.token_ids) - 1)
    return Row(trunk, branches, fork=Fork(at, other.token_ids[at:], branches))
