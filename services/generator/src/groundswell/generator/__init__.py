"""Reacts to prompts; promises tokens in order and one outcome for each admitted attempt."""
