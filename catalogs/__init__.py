"""Catalogs: five that come with the project, loaders for other people's, and the rule that grades items."""
