"""Where a process learns what it needs: the environment first, then the env file that the local stack wrote for it."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from groundswell.common.errors import Misconfigured

PREFIX = "GROUNDSWELL_"


def default_home() -> Path:
    """GROUNDSWELL_HOME, else `.groundswell` in the checkout around the working directory, else in the user's home."""
    named = os.environ.get(f"{PREFIX}HOME")
    if named:
        return Path(named).expanduser().resolve()
    for folder in (Path.cwd(), *Path.cwd().parents):
        manifest = folder / "pyproject.toml"
        if manifest.is_file() and "[tool.uv.workspace]" in manifest.read_text(encoding="utf-8"):
            return folder / ".groundswell"
    return Path.home() / ".groundswell"


def cache_folder() -> Path:
    """Where downloads and builds live that several homes share."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "groundswell"


class _Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore", hide_input_in_errors=True)


class ServiceSettings(_Settings):
    """What every service reads. A service adds its own fields in its settings.py."""

    home: Path = Field(default_factory=default_home)
    kafka: str = "127.0.0.1:9092"
    log_level: str = "INFO"
    health_port: int = Field(default=0, ge=0, le=65535)
    drain_s: float = Field(default=15.0, ge=0)
    session_s: float = Field(default=10.0, ge=1, le=60)
    """How long a process that died keeps its partitions."""
    otlp_endpoint: str | None = None
    claim_store_url: str | None = None
    """Where messages lie that their topics do not take; without it they are rejected."""

    @classmethod
    def load(cls, service: str) -> Self:
        """Read the settings of `service`. Raises Misconfigured naming each variable that is wrong."""
        path = default_home() / "env" / f"{service}.env"
        try:
            return cls(_env_file=path)
        except ValidationError as error:
            raise _misconfigured(service, "; ".join(sorted(map(_problem, error.errors())))) from None
        except SettingsError as error:
            raise _misconfigured(service, str(error)) from None  # names the field, never its value
        except (OSError, UnicodeDecodeError) as error:
            raise Misconfigured(f"{service} cannot start. {path} cannot be read: {type(error).__name__}") from None

    @field_validator("home")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        return home.expanduser().resolve()


def _problem(problem: Mapping[str, Any]) -> str:
    variable = f"{PREFIX}{'_'.join(map(str, problem['loc'])).upper()}"
    return f"{variable}: {problem['msg']}"


def _misconfigured(service: str, wrong: str) -> Misconfigured:
    return Misconfigured(f"{service} cannot start. {wrong}. Set it, or run `make up`, which writes it.")


class PostgresSettings(_Settings):
    """For a service that reads or writes PostgreSQL."""

    postgres_url: SecretStr


class WeaviateSettings(_Settings):
    """For a service that reads or writes the index."""

    weaviate_url: str = "http://127.0.0.1:8081"
    weaviate_grpc_port: int = 50051
    weaviate_api_key: SecretStr


class BlobSettings(_Settings):
    """For a service that reads or writes the object store."""

    object_store_url: str


def default_models_folder() -> Path:
    return cache_folder() / "models"


class ModelSettings(_Settings):
    """For a service that runs a model."""

    models: Path = Field(default_factory=default_models_folder)
    torch_threads: int = Field(default=1, ge=1)
