"""The numbers of the generator workers, as docs/bench keeps them."""

from measures.measured import Circumstances, Frozen, Spread


class TakeOver(Frozen):
    """Seconds from the kill of a worker until the client has more of the answer that it was writing."""

    circumstances: Circumstances
    seconds: Spread
    longest: float


class Placement(Frozen):
    """`share`: of the time, that somebody waited for a full worker while another had room."""

    circumstances: Circumstances
    answers: int
    seconds: float
    busy: float
    """Share of the slots that were taken, on average."""
    waited: int
    """Answers that found every slot taken."""
    first_text_ms: Spread
    share: float
    seed: int
