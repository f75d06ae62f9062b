"""Who the catalogue says consumes a topic does: a service's app.py names exactly the topics that it consumes."""

import ast
from pathlib import Path

import pytest

from groundswell.common import topics

SERVICES = Path(__file__).parents[2] / "services"


@pytest.mark.parametrize("service", sorted(path.name for path in SERVICES.iterdir() if path.is_dir()))
def test_a_service_consumes_what_the_catalogue_says(service: str) -> None:
    app = SERVICES / service / "src" / "groundswell" / service / "app.py"
    named = {
        alias.name
        for node in ast.walk(ast.parse(app.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module == "groundswell.common.topics"
        for alias in node.names
    }
    consumed = {getattr(topics, name) for name in named}
    assert consumed == {topic for topic in topics.CATALOGUE if service in topic.consumers}
