"""A served model that recommends from a list of products in its prompt."""

from retrievers.endpoint.plugin import EndpointRecommender

__all__ = ["EndpointRecommender"]
