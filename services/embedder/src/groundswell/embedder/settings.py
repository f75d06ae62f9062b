"""What the embedder reads from its environment."""

from pydantic import Field

from groundswell.common.index_schema import DEFAULT_EMBEDDING_MODEL
from groundswell.common.settings import ModelSettings, ServiceSettings, WeaviateSettings


class Settings(WeaviateSettings, ModelSettings, ServiceSettings):
    """`embedding_model` names the generation of the index that this process writes.

    A batch is `batch_messages` commands, or what came within `batch_wait_s`: short, an edited document waits for it.
    """

    embedding_model: str = DEFAULT_EMBEDDING_MODEL
    batch_messages: int = Field(default=16, ge=1)
    batch_wait_s: float = Field(default=0.05, ge=0)
