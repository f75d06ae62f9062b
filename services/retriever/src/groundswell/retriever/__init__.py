"""Reacts to queries; promises passages within the caller's rights from current versions only."""
