"""What the embedder consumes, and what it is made of."""

from functools import partial

from groundswell.common.bus.consumption import Batch, consume_batches
from groundswell.common.index_schema import collection_name
from groundswell.common.runtime import Service
from groundswell.common.topics import EMBED_CHUNKS
from groundswell.common.weaviate_connection import Weaviate
from groundswell.embedder.adapters.weaviate_index import WeaviateIndex
from groundswell.embedder.handlers import Deps, embed_chunks
from groundswell.embedder.settings import Settings
from groundswell.encoders.resource import EncoderResource

SLOTS = 3
"""One batch is written to the index while the next is in the model, and one slot is kept for interactive work."""


def build() -> Service:
    """The service as the environment describes it. Raises Misconfigured."""
    settings = Settings.load("embedder")
    weaviate = Weaviate(settings.weaviate_url, settings.weaviate_grpc_port, settings.weaviate_api_key)
    index = WeaviateIndex(weaviate, collection_name(settings.embedding_model))
    encoder = EncoderResource(settings.embedding_model, settings.models, threads=settings.torch_threads)
    deps = Deps(encoder=encoder, index=index)
    batch = Batch(messages=settings.batch_messages, wait_s=settings.batch_wait_s)
    return Service(
        name="embedder",
        settings=settings,
        subscriptions=[
            consume_batches(EMBED_CHUNKS, partial(embed_chunks, deps=deps), batch=batch, slots=SLOTS),
        ],
        resources={"encoder": encoder, "weaviate": index},
    )
