"""The only reader of the environment."""

from pathlib import Path

from pydantic import Field

from groundswell.common.settings import BlobSettings, PostgresSettings, ServiceSettings
from groundswell.common.tiers import Tier
from groundswell.orchestrator.domain.limits import Limits


class Settings(PostgresSettings, BlobSettings, ServiceSettings):
    """GROUNDSWELL_HTTP_PORT and its kin. `model` is the language model that the stack runs."""

    http_host: str = "127.0.0.1"
    http_port: int = Field(default=8080, ge=0, le=65535)
    http_fd: int | None = Field(default=None, ge=0, description="an inherited listening socket; wins over the port")
    model: str = "qwen2.5-0.5b"
    admin_key_file: Path | None = Field(default=None, description="default: secrets/admin.key in GROUNDSWELL_HOME")

    question_limit_chars: int = Field(default=32_000, ge=1, le=150_000)
    answer_limit_tokens: int = Field(default=2048, ge=1)
    body_limit_bytes: int = Field(default=4 * 1024 * 1024, ge=1024)
    file_limit_bytes: int = Field(default=20 * 1024 * 1024, ge=1)
    deadline_interactive_s: float = Field(default=120.0, gt=0)
    deadline_standard_s: float = Field(default=600.0, gt=0)
    deadline_bulk_s: float = Field(default=3600.0, gt=0)
    longest_deadline_s: float = Field(default=6 * 3600.0, gt=0, le=12 * 3600.0)
    requests_kept_s: float = Field(default=24 * 3600.0, gt=0)

    @property
    def admin_key_path(self) -> Path:
        return self.admin_key_file or self.home / "secrets" / "admin.key"

    @property
    def limits(self) -> Limits:
        return Limits(
            question_chars=self.question_limit_chars,
            answer_tokens=self.answer_limit_tokens,
            deadline_s={
                Tier.INTERACTIVE: self.deadline_interactive_s,
                Tier.STANDARD: self.deadline_standard_s,
                Tier.BULK: self.deadline_bulk_s,
            },
            longest_deadline_s=self.longest_deadline_s,
            body_bytes=self.body_limit_bytes,
            file_bytes=self.file_limit_bytes,
        )
