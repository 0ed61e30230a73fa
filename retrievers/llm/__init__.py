"""A language model that recommends from a list of products in its prompt."""

from retrievers.llm.plugin import LanguageModelRecommender

__all__ = ["LanguageModelRecommender"]
