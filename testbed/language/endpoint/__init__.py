"""OpenAI-compatible servers: asked concurrently, within rates and a ceiling of money, each question paid once."""

from testbed.language.endpoint.answer import Answer, Choice
from testbed.language.endpoint.client import Endpoint, Failed
from testbed.language.endpoint.question import Question
from testbed.language.endpoint.server import Price, Server

__all__ = ["Answer", "Choice", "Endpoint", "Failed", "Price", "Question", "Server"]
