"""What the supervisor runs: the typed list that `up` writes and the supervisor reads."""

import signal
from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter

from groundswell.native.layout import Home, write_private


class Program(BaseModel):
    """One supervised program. The environment is complete: nothing is inherited from the shell that said `up`."""

    model_config = ConfigDict(frozen=True)

    name: str
    command: tuple[str, ...]
    env: dict[str, str]
    copies: int = 1
    user: str | None = None
    component: bool = False
    """Components stop after the services that need them."""
    inherits_http: bool = False
    """The shared HTTP socket is passed on, its number in GROUNDSWELL_HTTP_FD."""
    stop_signal: int = int(signal.SIGTERM)
    stop_timeout_s: float = 30.0


class Programs(BaseModel):
    """Everything one supervisor holds."""

    model_config = ConfigDict(frozen=True)

    programs: tuple[Program, ...]
    http_port: int | None = None


_ADAPTER = TypeAdapter(Programs)


def save(home: Home, programs: Programs) -> None:
    write_private(home.programs_file, programs.model_dump_json(indent=1))


def load(path: Path) -> Programs:
    return _ADAPTER.validate_json(path.read_bytes())
