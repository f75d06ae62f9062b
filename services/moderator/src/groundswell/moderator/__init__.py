"""Reacts to text; promises a verdict that says how much of it may be released, and why not."""
