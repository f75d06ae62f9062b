"""Verdicts on text: reacts to CHECK_TEXT, answers TextCleared or TextBlocked.

It keeps no state and needs nothing but Kafka. It promises that text which a continuation could still make forbidden is
never cleared, and that a verdict does not depend on how a text was cut into windows.
"""
