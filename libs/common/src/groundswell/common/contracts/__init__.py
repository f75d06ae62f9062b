"""The payloads on the topics, one file per recipient. Frozen when written; unknown fields are ignored when read."""
