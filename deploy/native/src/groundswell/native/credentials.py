"""Secrets of the local stack: generated at the first start, readable by their owner only, never printed."""

import secrets

from groundswell.native.layout import Home, write_private


def secret(home: Home, name: str, prefix: str = "") -> str:
    """The secret of that name; made when it is asked for the first time."""
    path = home.secrets / name
    if not path.exists():
        write_private(path, prefix + secrets.token_urlsafe(32))
    return path.read_text(encoding="utf-8").strip()
