"""Which texts share a padded batch. Pure."""

from collections.abc import Sequence


def plan_batches(lengths: Sequence[int], *, budget_tokens: int) -> list[list[int]]:
    """Split the indices of `lengths` (tokens per text) into batches, longest texts first, ties in the order given.

    A batch padded to its longest text holds at most `budget_tokens` tokens; a longer text is a batch of its own.
    """
    batches: list[list[int]] = []
    room = 0
    for index in sorted(range(len(lengths)), key=lambda index: (-lengths[index], index)):
        if room <= 0:
            batches.append([])
            # The first text of a batch is its longest, so it decides how many rows fit.
            room = max(1, budget_tokens // max(1, lengths[index]))
        batches[-1].append(index)
        room -= 1
    return batches
