"""A scenario's stack as a shop that a real agent visits: tools over MCP, a log of every call, records of sessions."""
