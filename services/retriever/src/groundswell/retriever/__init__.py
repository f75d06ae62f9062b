"""Reacts to RetrievePassages; promises passages within the caller's rights and from current versions only.

Says so when nothing is near the question.
"""
