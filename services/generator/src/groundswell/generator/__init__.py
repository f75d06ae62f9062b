"""Reacts to prompts by running a language model on them, many at once.

Promises tokens in order, whole characters, and one outcome for each attempt that it admitted, unless it dies.
"""
