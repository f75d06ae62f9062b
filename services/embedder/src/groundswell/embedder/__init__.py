"""Reacts to changed chunks; promises that each has its vector in the index before it says so."""
