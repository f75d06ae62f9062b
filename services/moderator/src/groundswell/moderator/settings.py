"""What a moderator reads from its environment."""

from pathlib import Path

from groundswell.common.errors import Misconfigured
from groundswell.common.settings import ServiceSettings


class Settings(ServiceSettings):
    """`forbidden_strings` names a UTF-8 file, one string a line; empty lines and `#` comments do not count."""

    forbidden_strings: Path | None = None


def read_forbidden_strings(path: Path | None) -> tuple[str, ...]:
    """Raises Misconfigured if the file cannot be read: who does not know what is forbidden must not start."""
    if path is None:
        return ()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"GROUNDSWELL_FORBIDDEN_STRINGS: {path} cannot be read as UTF-8 text ({error})") from None
    return tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))
