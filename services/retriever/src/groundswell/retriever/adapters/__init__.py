"""The outside of the retriever."""
