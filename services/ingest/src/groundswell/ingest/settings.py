"""The only reader of the environment."""

from pydantic import Field

from groundswell.common.index_schema import DEFAULT_EMBEDDING_MODEL
from groundswell.common.settings import BlobSettings, ModelSettings, PostgresSettings, ServiceSettings


class Settings(PostgresSettings, BlobSettings, ModelSettings, ServiceSettings):
    """GROUNDSWELL_INGEST_LIMIT_BYTES and its kin."""

    embedding_model: str = DEFAULT_EMBEDDING_MODEL
    ingest_limit_bytes: int = Field(default=20 * 1024 * 1024, gt=0)
    ingest_readers: int = Field(default=1, ge=1, description="files that are decoded and cut at once, a thread each")
    ingest_slots: int = Field(default=5, ge=1, description="documents in work at once; one only if interactive")
    ingest_stranded_after_s: float = Field(default=300.0, gt=0)
    ingest_sweep_every_s: float = Field(default=30.0, gt=0)
