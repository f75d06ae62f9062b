"""The HTTP API as the commands use it: answers are JSON, failures are one line that says what to do."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import httpx

from groundswell.cli.errors import CommandFailedError, RefusedError
from groundswell.cli.invocation import hint
from groundswell.cli.settings import Settings, is_loopback

CONNECT_S = 5.0
ANSWER_S = 120.0
PAGE = 1000
PATIENCE_S = 120.0
LONGEST_PAUSE_S = 10.0
_LATER = {httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE}
_REFUSALS = {
    httpx.codes.BAD_REQUEST,
    httpx.codes.CONFLICT,
    httpx.codes.REQUEST_ENTITY_TOO_LARGE,
    httpx.codes.UNSUPPORTED_MEDIA_TYPE,
    httpx.codes.UNPROCESSABLE_ENTITY,
}
_WANTED_KEYS: dict[int, str] = {httpx.codes.UNAUTHORIZED: "a valid key", httpx.codes.FORBIDDEN: "an operator's key"}
_LISTED = frozenset({"documents", "requests", "keys"})

Json = dict[str, Any]


class Clock(Protocol):
    """Time as a command spends it."""

    def now(self) -> float: ...

    def sleep(self, seconds: float) -> None: ...


class WallClock:
    """The real one."""

    now = staticmethod(time.monotonic)
    sleep = staticmethod(time.sleep)


class Api:
    """A connection to one deployment; usable from several threads."""

    def __init__(self, http: httpx.Client, clock: Clock | None = None, local_key: Path | None = None) -> None:
        """`local_key` is the file of the key that is used where the environment names none."""
        self._http = http
        self._local_key = local_key
        self.clock = clock or WallClock()

    def get(self, path: str, **query: object) -> Json:
        known = {name: str(value) for name, value in query.items() if value is not None}
        return self._json("GET", path, params=known)

    def post(self, path: str, **content: Any) -> Json:
        return self._json("POST", path, **content)

    def delete(self, path: str) -> Json:
        return self._json("DELETE", path)

    def text(self, path: str) -> str:
        return self._sent("GET", path).text

    def pages(self, path: str, **query: object) -> Iterator[Json]:
        """Every object of a list, page by page."""
        after: object = None
        while True:
            page = self.get(path, **query, limit=PAGE, after=after)
            yield from page["data"]
            if not page.get("has_more") or not page["data"]:
                return
            after = page["data"][-1]["id"]

    @contextmanager
    def stream(self, path: str, body: Json) -> Iterator[httpx.Response]:
        """A response that is read as it comes. Raises CommandFailedError unless it is a success."""
        try:
            with self._http.stream("POST", path, json=body) as response:
                if response.is_error:
                    response.read()
                    raise CommandFailedError(complaint(response, self._local_key))
                yield response
        except httpx.TransportError as error:
            raise self._away(error) from None

    def _json(self, method: str, path: str, **content: Any) -> Json:
        response = self._sent(method, path, **content)
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise CommandFailedError(f"{self._http.base_url} does not speak this API: check GROUNDSWELL_URL")
        return answer

    def _sent(self, method: str, path: str, *, patience_s: float = PATIENCE_S, **content: Any) -> httpx.Response:
        """Sent again for a while when the server says that it is busy."""
        give_up = self.clock.now() + patience_s
        while True:
            try:
                response = self._http.request(method, path, **content)
            except httpx.TransportError as error:
                raise self._away(error) from None
            if response.status_code in _LATER and self.clock.now() < give_up:
                self.clock.sleep(_pause(response))
            elif response.is_error:
                failure = RefusedError if response.status_code in _REFUSALS else CommandFailedError
                raise failure(complaint(response, self._local_key))
            else:
                return response

    def _away(self, error: httpx.TransportError) -> CommandFailedError:
        where = str(self._http.base_url).rstrip("/")
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            advice = "start it with `make up`" if is_loopback(where) else "check GROUNDSWELL_URL"
            return CommandFailedError(f"no server answers at {where}: {advice}")
        if isinstance(error, httpx.TimeoutException):
            return CommandFailedError(f"{where} did not answer in time: look at {hint('status')}, then try again")
        return CommandFailedError(f"the connection to {where} broke off: look at {hint('status')}, then try again")


@contextmanager
def connect(settings: Settings | None = None) -> Iterator[Api]:
    """The deployment that the environment names. Raises CommandFailedError if it names none."""
    settings = settings or Settings()
    server = settings.server()
    headers = {"authorization": f"Bearer {settings.key()}"}
    timeout = httpx.Timeout(ANSWER_S, connect=CONNECT_S)
    # A proxy of the environment must not see what stays on this machine.
    with httpx.Client(base_url=server, headers=headers, timeout=timeout, trust_env=not is_loopback(server)) as http:
        yield Api(http, local_key=settings.admin_key if is_loopback(server) else None)


def path(collection: str, *parts: str) -> str:
    """The address of one object; what a person typed stays inside its place."""
    return "/".join([collection, *(quote(part, safe="") or "-" for part in parts)])


def complaint(response: httpx.Response, local_key: Path | None) -> str:
    """What the server says is wrong, with what to do where the server cannot know it."""
    said = said_in(response)
    advice = _advice(response, local_key)
    if said is None:
        said = f"the server answered {response.status_code} {response.reason_phrase}"
        advice = advice or f"look at {hint('status')}, then try again"
    return f"{said}: {advice}" if advice else said


def _advice(response: httpx.Response, local_key: Path | None) -> str | None:
    wanted = _WANTED_KEYS.get(response.status_code)
    if wanted is not None:
        unset = f", or unset it to use the local admin key ({local_key})" if local_key else ""
        return f"set GROUNDSWELL_API_KEY to {wanted}{unset}"
    collection, _, identifier = response.request.url.path.removeprefix("/v1/").partition("/")
    if response.status_code == httpx.codes.NOT_FOUND and identifier and collection in _LISTED:
        return f"{hint(f'{collection} ls')} lists them"
    return None


def said_in(response: httpx.Response) -> str | None:
    """The message of an OpenAI error object, if the body is one."""
    try:
        message = response.json()["error"]["message"]
    except (ValueError, KeyError, TypeError):
        return None
    return " ".join(str(message).split()).rstrip(".") or None


def _pause(response: httpx.Response) -> float:
    try:
        asked = float(response.headers.get("retry-after", "1"))
    except ValueError:
        asked = 1.0
    return min(max(asked, 0.1), LONGEST_PAUSE_S)
