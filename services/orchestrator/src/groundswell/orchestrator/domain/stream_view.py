"""What a reader of an answer stream may show: each piece of text once, and nothing of an owner that was superseded."""

from dataclasses import dataclass

from groundswell.common.contracts.answers import AnswerReleased, StreamAdopted


@dataclass
class StreamView:
    """How far one reader is. `position` counts code points of the answer."""

    epoch: int
    position: int = 0

    def adopt(self, event: StreamAdopted) -> bool:
        """Whether another owner goes on from here."""
        is_newer = event.epoch > self.epoch
        self.epoch = max(self.epoch, event.epoch)
        return is_newer

    def take(self, event: AnswerReleased) -> str:
        """The text that follows `position`: empty for what was seen before, and for what does not count."""
        if event.epoch != self.epoch or event.start > self.position:
            return ""
        text = event.text[self.position - event.start :]
        self.position += len(text)
        return text
