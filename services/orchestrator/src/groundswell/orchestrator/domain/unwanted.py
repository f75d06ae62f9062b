"""Attempts that workers run although nobody wants them: a cancel gets lost when the broker is away for long."""

from collections import OrderedDict

from groundswell.common.contracts.generation import AttemptCancelled, GenerationAdmitted, TokensGenerated
from groundswell.orchestrator.domain.liveness import BoundAttempt
from groundswell.orchestrator.domain.state import RequestState

TELL_EVERY_S = 2.0
MOST = 10_000


class ToldToEnd:
    """Which attempts were told to end lately: their workers write on until they hear it. Times are monotonic seconds.

    Over `most` attempts the oldest go, which are told once more then.
    """

    def __init__(self, every_s: float = TELL_EVERY_S, most: int = MOST) -> None:
        self._every_s = every_s
        self._most = most
        self._told: OrderedDict[BoundAttempt, float] = OrderedDict()

    def is_due(self, attempt: BoundAttempt, now: float) -> bool:
        """Whether to tell it now; if so, not again for `every_s`."""
        while self._told and now - next(iter(self._told.values())) >= self._every_s:
            self._told.popitem(last=False)
        if attempt in self._told:
            return False
        self._told[attempt] = now
        if len(self._told) > self._most:
            self._told.popitem(last=False)
        return True

    def __len__(self) -> int:
        return len(self._told)


def cancel(message: GenerationAdmitted | TokensGenerated) -> AttemptCancelled:
    """Of the attempt that wrote `message`, and those before it."""
    return AttemptCancelled(request_id=message.request_id, attempt=message.attempt, epoch=message.epoch)


def cancel_if_unwanted(state: RequestState, message: TokensGenerated) -> AttemptCancelled | None:
    """Unless the request waits for the tokens: the attempt was given up, or another worker runs it, too."""
    wrote, newest = (message.epoch, message.attempt), (state.attempt_epoch, state.attempt)
    if state.stage == "ended" or wrote < newest:
        return cancel(message)
    if wrote == newest and state.worker not in {None, message.worker}:
        return cancel(message).model_copy(update={"but_of": state.worker})
    return None
