"""Rewrites in several styles (GEO, Aggarwal et al. 2024, arXiv 2311.09735), from written templates with slots."""

from __future__ import annotations

from typing import ClassVar, Literal

from attacks.templates import TemplateAttack

Style = Literal[
    "authority",
    "statistics",
    "quotations",
    "citations",
    "keywords",
    "simple",
    "fluency",
    "unique_words",
    "technical_terms",
]


class Rewrite(TemplateAttack):
    """Say it in the tone of an authority, with figures, quotations, keywords, ... (GEO, Aggarwal et al. 2024).

    The nine styles of generative engine optimisation (arXiv 2311.09735). There a language model rewrites the page; here
    sentences in the style are filled with the listing's name and facts and the words of requests, so that no
    model is needed. They are invented, as marketing is: nothing in them is checked. `place: replace` keeps the
    field's own text in front.
    """

    written: ClassVar[str] = "rewrite"

    styles: tuple[Style, ...] = ()
    """Styles to draw from; all when left out."""

    @property
    def chosen(self) -> tuple[Style, ...]:
        """The styles."""
        return self.styles
