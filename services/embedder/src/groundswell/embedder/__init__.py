"""Reacts to EmbedChunks; promises that every chunk it answers for is in the index with its vector, read back.

Same chunk, same object: a repeated command overwrites what is there and changes nothing else.
"""
