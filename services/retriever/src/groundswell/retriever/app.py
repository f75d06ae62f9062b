"""What the retriever consumes, and what it is made of."""

from functools import partial

from groundswell.common.bus.consumption import consume
from groundswell.common.index_schema import collection_name
from groundswell.common.postgres import Postgres
from groundswell.common.runtime import Service
from groundswell.common.topics import RETRIEVE_PASSAGES
from groundswell.common.weaviate_connection import Weaviate
from groundswell.encoders.resource import EncoderResource
from groundswell.retriever.adapters.postgres_passages import PostgresPassages
from groundswell.retriever.adapters.weaviate_index import WeaviateIndex
from groundswell.retriever.handlers import Deps, fetch_passages
from groundswell.retriever.settings import Settings


def build() -> Service:
    """The service as the environment describes it. Raises Misconfigured."""
    settings = Settings.load("retriever")
    weaviate = Weaviate(settings.weaviate_url, settings.weaviate_grpc_port, settings.weaviate_api_key)
    index = WeaviateIndex(weaviate, collection_name(settings.embedding_model), within_s=settings.search_within_s)
    passages = PostgresPassages(Postgres(settings.postgres_url))
    encoder = EncoderResource(settings.embedding_model, settings.models, threads=settings.torch_threads)
    deps = Deps(encoder=encoder, index=index, passages=passages, near_from=settings.near_from)
    return Service(
        name="retriever",
        settings=settings,
        subscriptions=[consume(RETRIEVE_PASSAGES, partial(fetch_passages, deps=deps))],
        resources={"encoder": encoder, "weaviate": index, "postgres": passages},
    )
