"""Decisions of the retriever: what a query asks for, fusion, what is near enough, and the passages that come of it."""
