"""What the retriever reads from its environment."""

from pydantic import Field

from groundswell.common.index_schema import DEFAULT_EMBEDDING_MODEL
from groundswell.common.settings import ModelSettings, PostgresSettings, ServiceSettings, WeaviateSettings
from groundswell.retriever.domain.evidence import NEAR_FROM


class Settings(PostgresSettings, WeaviateSettings, ModelSettings, ServiceSettings):
    """`embedding_model` names the generation of the index that is searched.

    `near_from` is the probability from which on passages are an answer; higher refuses more, also what has an answer.
    """

    embedding_model: str = DEFAULT_EMBEDDING_MODEL
    near_from: float = Field(default=NEAR_FROM, ge=0, le=1)
    search_within_s: float = Field(default=1.5, gt=0)
