"""What a reader of an answer stream may show: each piece of text once, and nothing of an owner that was superseded."""

from dataclasses import dataclass, field

from groundswell.common.contracts.answers import AnswerReleased, StreamAdopted


@dataclass
class StreamView:
    """How far one reader is. `position` counts code points of the answer.

    Pieces may come before those in front of them: a stream goes to another partition when its topic gets more.
    """

    epoch: int = 0
    position: int = 0
    _ahead: dict[int, str] = field(default_factory=dict)

    def adopt(self, event: StreamAdopted) -> bool:
        """Whether another owner goes on from here."""
        is_newer = event.epoch > self.epoch
        if is_newer:
            self._go_on_under(event.epoch)
        return is_newer

    def _go_on_under(self, epoch: int) -> None:
        self.epoch = epoch
        self._ahead.clear()

    def take(self, event: AnswerReleased) -> str:
        """The text that follows `position`: empty for what was seen before, does not count, or comes early."""
        if event.epoch > self.epoch:  # its StreamAdopted lies before where this reader began
            self._go_on_under(event.epoch)
        if event.epoch != self.epoch:
            return ""
        self._ahead[event.start] = max(event.text, self._ahead.get(event.start, ""), key=len)
        text = ""
        for start in sorted(self._ahead):
            if start > self.position:
                break
            piece = self._ahead.pop(start)[self.position - start :]
            self.position += len(piece)
            text += piece
        return text
