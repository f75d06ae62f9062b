"""An answer as the events of OpenAI's stream, from its first code point or a later one."""

from groundswell.orchestrator.adapters.http_sse import DONE, event
from groundswell.orchestrator.domain import openai_shapes as shapes
from groundswell.orchestrator.domain.question import Answer
from groundswell.orchestrator.ports import StreamItem


class ChatEvents:
    """The Events of one reader, who has what lies before code point `position`."""

    def __init__(self, asked: shapes.Asked, *, with_usage: bool, position: int = 0) -> None:
        self._asked = asked
        self._with_usage = with_usage
        self._position = position

    def first(self) -> bytes:
        return self._chunk(shapes.first_chunk(self._asked))

    def of(self, item: StreamItem) -> bytes:
        if isinstance(item, Answer):
            return b"".join([self._text(item.text[self._position :]), *self._final(item), DONE])
        return self._text(item.text)

    def _text(self, text: str) -> bytes:
        if not text:
            return b""
        self._position += len(text)
        return self._chunk(shapes.text_chunk(self._asked, text))

    def _final(self, answer: Answer) -> list[bytes]:
        failure = shapes.failure_of(answer)
        if failure is not None:
            return [event(shapes.failure_object(failure, self._asked.request_id, answer), self._position)]
        last = [self._chunk(shapes.last_chunk(self._asked, answer))]
        return [*last, event(shapes.usage_chunk(self._asked, answer), self._position)] if self._with_usage else last

    def _chunk(self, chunk: shapes.Json) -> bytes:
        # With usage, every chunk but the one that has it says null, as OpenAI does.
        return event(chunk | {"usage": None} if self._with_usage else chunk, self._position)
