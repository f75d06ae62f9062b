"""What the person at the terminal may decide; the only reader of the environment here."""

import os
from pathlib import Path

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from groundswell.common.settings import PREFIX, default_home, default_models_folder
from groundswell.native.errors import StackError
from groundswell.native.layout import Home
from groundswell.native.ports import DEFAULT_HTTP_PORT


class StackSettings(BaseSettings):
    """One variable per component points at an existing one instead of a local one."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore", hide_input_in_errors=True)

    state: Path = Field(default_factory=default_home, validation_alias=f"{PREFIX}HOME")
    kafka: str | None = None
    weaviate_url: str | None = None
    weaviate_grpc_port: int = Field(default=50051, ge=1, le=65535)
    weaviate_api_key: SecretStr | None = None
    postgres_url: SecretStr | None = None
    object_store_url: str | None = None
    claim_store_url: str | None = None
    models: Path = Field(default_factory=default_models_folder)
    model: str = "qwen2.5-0.5b"
    """The language model that the generators run; `null` answers without one."""
    http_port: int = Field(default=DEFAULT_HTTP_PORT, ge=1, le=65535)
    cpu_budget: int = Field(default_factory=lambda: len(os.sched_getaffinity(0)), ge=1)
    """Cores for all models of the stack together."""

    @property
    def home(self) -> Home:
        return Home.at(self.state)


def load() -> StackSettings:
    """Raises StackError naming each variable that is wrong."""
    try:
        return StackSettings()
    except ValidationError as error:
        wrong = "; ".join(f"{PREFIX}{problem['loc'][0]}".upper() + f": {problem['msg']}" for problem in error.errors())
        raise StackError(f"{wrong}: set it to something else, or unset it") from None
