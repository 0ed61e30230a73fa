"""An agent of three moves on a language model: look at the results, open some of them, choose one."""

from retrievers.agent.plugin import ShoppingAgent

__all__ = ["ShoppingAgent"]
