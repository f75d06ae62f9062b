"""Whatever is sent, the answer is a clear one and never the server's fault."""

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from groundswell.orchestrator.adapters.http_chat_body import ChatBody
from groundswell.orchestrator.adapters.http_question import is_blank

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
OTHER_FIELDS = [name for name in ChatBody.model_fields if name not in ("model", "messages", "groundswell")]
MESSAGES = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "system", "tool"]) | ANY_JSON, "content": ANY_JSON}),
    max_size=3,
)
VENDOR = st.dictionaries(st.sampled_from(["filters", "tier", "deadline_s", "resumable", "cache", "x"]), ANY_JSON)
NEARLY_RIGHT = st.fixed_dictionaries(
    {"model": st.sampled_from(["docs-qa", "null"]) | ANY_JSON, "messages": MESSAGES | ANY_JSON},
    optional={
        "groundswell": VENDOR | ANY_JSON,
        **dict.fromkeys(OTHER_FIELDS, ANY_JSON),
    },
)
MANY = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


async def answered(fakes: Any, path: str, content: bytes, content_type: str = "application/json") -> int:
    async with fakes.client("gs_operator") as client:
        response = await client.post(path, content=content, headers={"content-type": content_type})
    assert response.status_code < 500, response.text
    if response.status_code != 200:
        assert response.json()["error"]["message"]
    return int(response.status_code)


@MANY
@given(body=NEARLY_RIGHT | ANY_JSON)
async def test_no_json_is_a_server_error(fakes: Any, body: Any) -> None:
    await answered(fakes, "/v1/chat/completions", json.dumps(body).encode())


@MANY
@given(said=st.text(), name=st.text(max_size=20))
async def test_whatever_is_asked_is_answered_or_called_empty(fakes: Any, said: str, name: str) -> None:
    message = {"role": "user", "content": said, "name": name}
    content = json.dumps({"model": "docs-qa", "messages": [message]}).encode()
    assert await answered(fakes, "/v1/chat/completions", content) == (400 if is_blank(said) else 200)


@MANY
@given(content=st.binary(max_size=200))
async def test_no_bytes_are_a_server_error(fakes: Any, content: bytes) -> None:
    assert await answered(fakes, "/v1/chat/completions", content) == 400


@MANY
@given(body=ANY_JSON | st.fixed_dictionaries({"team": ANY_JSON}, optional={"groups": ANY_JSON, "name": ANY_JSON}))
async def test_no_key_body_is_a_server_error(fakes: Any, body: Any) -> None:
    await answered(fakes, "/v1/keys", json.dumps(body).encode())


@MANY
@given(
    parts=st.lists(st.sampled_from([b"--a", b"--a--", b"\r\n", b"content-disposition: form-data", b'; name="file"']))
    | st.lists(st.binary(max_size=20), max_size=10)
)
async def test_no_form_is_a_server_error(fakes: Any, parts: list[bytes]) -> None:
    assert await answered(fakes, "/v1/files", b"".join(parts), "multipart/form-data; boundary=a") == 400
