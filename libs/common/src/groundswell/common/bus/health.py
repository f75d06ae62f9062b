"""What a service process answers over HTTP: alive, ready, metrics."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from faststream.asgi import AsgiFastStream, AsgiResponse, get
from prometheus_client import make_asgi_app

JSON = {"content-type": "application/json"}


def health_app(missing: Callable[[], Mapping[str, str]]) -> AsgiFastStream:
    """`/healthz`, `/readyz` and `/metrics`.

    `missing` says by name what keeps the process from working; empty: ready.
    """

    @get
    async def alive(_scope: Any) -> AsgiResponse:
        return AsgiResponse(b'{"alive": true}', 200, JSON)

    @get
    async def ready(_scope: Any) -> AsgiResponse:
        lacking = dict(missing())
        body = json.dumps({"ready": not lacking, "missing": lacking}).encode()
        return AsgiResponse(body, 503 if lacking else 200, JSON)

    routes = (("/healthz", alive), ("/readyz", ready), ("/metrics", make_asgi_app()))
    return AsgiFastStream(asgi_routes=routes, logger=None)
