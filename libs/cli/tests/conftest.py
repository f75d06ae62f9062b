"""A platform in this process that speaks the HTTP API over a real socket, and the command run against it."""

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email import policy
from email.message import Message
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from groundswell.cli.__main__ import run

KEY = "gs_of_the_test"
Json = dict[str, Any]


@dataclass
class Asked:
    """A request as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def form(self) -> dict[str, tuple[str | None, bytes]]:
        """File name and content by field."""
        head = f"content-type: {self.headers['content-type']}\r\n\r\n".encode()
        message = BytesParser(policy=policy.HTTP).parsebytes(head + self.body)
        return {
            str(part.get_param("name", header="content-disposition")): (part.get_filename(), _bytes_of(part))
            for part in message.iter_parts()
        }


def _bytes_of(part: Message) -> bytes:
    content = part.get_payload(decode=True)
    assert isinstance(content, bytes)
    return content


@dataclass
class Answer:
    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)

    def encoded(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


def refusal(status: int, message: str, **headers: str) -> Answer:
    return Answer(status, {"error": {"message": message, "type": "x", "param": None, "code": None}}, headers)


def events(*chunks: object) -> Answer:
    """A stream of server-sent events; a string goes out as it stands."""
    lines = [f"data: {chunk if isinstance(chunk, str) else json.dumps(chunk)}\n\n" for chunk in chunks]
    return Answer(200, "".join(lines).encode(), {"content-type": "text/event-stream"})


def page(objects: list[Json], limit: int = 1000, after: str | None = None) -> Json:
    rest = [item for item in objects if after is None or item["id"] > after]
    return {"object": "list", "data": rest[:limit], "has_more": len(rest) > limit}


@dataclass
class Platform:
    """Answers by method and path; documents are kept as the orchestrator keeps them, and read at the next look."""

    answers: dict[str, Callable[[Asked], Answer]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    documents: dict[str, Json] = field(default_factory=dict)
    texts: dict[str, bytes] = field(default_factory=dict)
    page_size: int = 1000
    revision: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    answer = staticmethod(Answer)
    events = staticmethod(events)
    refusal = staticmethod(refusal)

    def on(self, method: str, path: str, answer: Answer | Callable[[Asked], Answer]) -> None:
        self.answers[f"{method} {path}"] = answer if callable(answer) else lambda _asked: answer

    def respond(self, asked: Asked) -> Answer:
        with self.lock:
            self.asked.append(asked)
            if asked.headers.get("authorization") != f"Bearer {KEY}":
                return refusal(401, "This API key is not known here.")
            special = self.answers.get(f"{asked.method} {asked.path}")
            return special(asked) if special else self._document_answer(asked)

    def sent(self, method: str, path: str = "") -> list[Asked]:
        return [one for one in self.asked if one.method == method and one.path.startswith(path)]

    def _document_answer(self, asked: Asked) -> Answer:
        if asked.path == "/v1/files" and asked.method == "POST":
            return self._upload(asked)
        if asked.path == "/v1/documents":
            return self._list(asked)
        identifier, _, rest = asked.path.removeprefix("/v1/documents/").partition("/")
        if identifier not in self.documents:
            return refusal(404, "There is no such document that you may read.")
        if asked.method == "DELETE":
            del self.documents[identifier]
            return Answer(body={"id": identifier, "object": "document", "deleted": True})
        if rest == "text":
            return Answer(body=self.texts[identifier], headers={"content-type": "text/plain; charset=utf-8"})
        return Answer(body=self.documents[identifier])

    def _upload(self, asked: Asked) -> Answer:
        form = asked.form()
        content, (source, name) = form["file"][1], (form[f"groundswell_{of}"][1].decode() for of in ("source", "name"))
        if not content:
            return refusal(400, "file: the file is empty.")
        self.revision += 1
        identifier = "doc_" + hashlib.sha256(f"{source}\0{name}".encode()).hexdigest()[:24]
        self.texts[identifier] = content
        self.documents[identifier] = {
            "id": identifier,
            "object": "document",
            "name": name,
            "source": source,
            "title": name,
            "state": "pending",
            "version": None,
            "revision": self.revision,
            "chunks": 1,
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "failure": None,
            "updated_at": "2026-11-25T08:00:00Z",
        }
        return Answer(body={"id": "file-1", "groundswell": {"document": identifier, "revision": self.revision}})

    def _list(self, asked: Asked) -> Answer:
        shown = [
            document
            for _, document in sorted(self.documents.items())
            if asked.query.get("source") in (None, document["source"])
            and asked.query.get("state") in (None, document["state"])
        ]
        answer = Answer(body=json.loads(json.dumps(page(shown, self.page_size, asked.query.get("after")))))
        for document in shown:
            self._read(document)
        return answer

    def _read(self, document: Json) -> None:
        if document["state"] == "pending":
            readable = b"\xff" not in self.texts[document["id"]]
            document |= {"state": "live", "version": 1} if readable else {"state": "failed", "failure": "Not UTF-8."}


class _Handler(BaseHTTPRequestHandler):
    platform: Platform
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _serve(self) -> None:
        address = urlsplit(self.path)
        asked = Asked(
            self.command,
            unquote(address.path),
            {name: values[0] for name, values in parse_qs(address.query).items()},
            {name.lower(): value for name, value in self.headers.items()},
            self.rfile.read(int(self.headers.get("content-length", 0))),
        )
        answer = self.platform.respond(asked)
        body = answer.encoded()
        self.send_response(answer.status)
        for name, value in ({"content-type": "application/json"} | answer.headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_DELETE = _serve  # noqa: N815 - names that http.server calls

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty GROUNDSWELL_HOME, and no other setting of ours in the environment."""
    for name in ("URL", "API_KEY"):
        monkeypatch.delenv(f"GROUNDSWELL_{name}", raising=False)
    folder = tmp_path / "home"
    monkeypatch.setenv("GROUNDSWELL_HOME", str(folder))
    monkeypatch.setenv("TZ", "UTC")
    return folder


@pytest.fixture
def platform(home: Path) -> Iterator[Platform]:
    """Listens on a free port that `home` names, with the key of `home`."""
    platform = Platform()
    handler = type("Handler", (_Handler,), {"platform": platform})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        (home / "secrets").mkdir(parents=True)
        (home / "secrets" / "admin.key").write_text(KEY + "\n", encoding="utf-8")
        (home / "ports.json").write_text(json.dumps({"http": server.server_address[1]}), encoding="utf-8")
        try:
            yield platform
        finally:
            server.shutdown()
            serving.join()


@dataclass
class Ran:
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def groundswell(home: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Runs one command in this process."""

    def command(*arguments: str) -> Ran:
        capsys.readouterr()
        status = run(list(arguments))
        captured = capsys.readouterr()
        return Ran(status, captured.out, captured.err)

    return command
