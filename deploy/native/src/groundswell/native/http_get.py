"""One GET of a small answer, refusals included."""

import urllib.error
import urllib.request

MOST_BYTES = 65_536
OK = 200


def get(url: str, timeout_s: float) -> tuple[int, bytes]:
    """Status and body of whatever the server answers. Raises OSError when it does not, or when the URL is not HTTP."""
    if not url.startswith(("http://", "https://")):
        raise OSError(f"not an HTTP address: {url}")
    try:
        with urllib.request.urlopen(url, timeout=timeout_s) as answer:  # noqa: S310 - the scheme is checked above
            return answer.status, answer.read(MOST_BYTES)
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.read(MOST_BYTES)
