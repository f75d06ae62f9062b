"""Where the platform is and which key opens it; the only reader of the environment here."""

import ipaddress
import json
from pathlib import Path
from typing import Any

import httpx
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from groundswell.cli.errors import CommandFailedError
from groundswell.common.settings import PREFIX, default_home


class Settings(BaseSettings):
    """`url` and `api_key` point at a deployment; without them it is the stack of this checkout and its admin key."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="ignore")

    home: Path = Field(default_factory=default_home)
    url: str | None = None
    api_key: SecretStr | None = None

    @property
    def admin_key(self) -> Path:
        """The file of the local stack's admin key."""
        return self.home / "secrets" / "admin.key"

    def server(self) -> str:
        """The address of the HTTP API, without /v1. Raises CommandFailedError if there is none."""
        if self.url is not None:
            return _checked(self.url)
        ports = self.home / "ports.json"
        try:
            known: dict[str, Any] = json.loads(ports.read_text(encoding="utf-8"))
            return f"http://127.0.0.1:{int(known['http'])}"
        except (OSError, ValueError, KeyError, TypeError):
            raise CommandFailedError(
                f"no stack was started here ({self.home}): run `make up`, or set GROUNDSWELL_URL to a deployment"
            ) from None

    def key(self) -> str:
        """The API key. Raises CommandFailedError for none, a garbled one, and a local one that would leave here."""
        if self.api_key is not None:
            return _sendable(self.api_key.get_secret_value().strip())
        if not is_loopback(self.server()):
            raise CommandFailedError("set GROUNDSWELL_API_KEY to a key of the deployment that GROUNDSWELL_URL names")
        try:
            return self.admin_key.read_text(encoding="utf-8").strip()
        except OSError:
            raise CommandFailedError(
                f"no key: set GROUNDSWELL_API_KEY, or run `make up`, which makes {self.admin_key}"
            ) from None


def is_loopback(url: str) -> bool:
    """Whether the address stays on this machine."""
    host = httpx.URL(url).host
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _sendable(key: str) -> str:
    """The key, if a header can carry it: visible ASCII without spaces."""
    if not all("!" <= character <= "~" for character in key):
        raise CommandFailedError("GROUNDSWELL_API_KEY has a character that no key has: copy it again, on one line")
    return key


def _checked(url: str) -> str:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        parsed = httpx.URL("")
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise CommandFailedError("GROUNDSWELL_URL must be an address such as http://127.0.0.1:8080")
    return url.rstrip("/").removesuffix("/v1")
