"""Torch threads for a whole machine, shared out before anything starts."""


def thread_budget(cores: int) -> dict[str, int]:
    """Threads of each service that runs models.

    For one question the retriever's encoder and the generator work one after the other, so up to two cores the
    generator may use both; beyond that one core stays with the retriever. The embedder is not counted: it runs at a
    low priority and gets what the others leave.
    """
    if cores < 1:
        raise ValueError(f"a machine has at least one core, not {cores}")
    spare = 1 if cores > 2 else 0  # noqa: PLR2004 - with two cores the generator needs both
    return {"generator": cores - spare, "retriever": max(1, cores // 8), "embedder": max(1, cores // 2)}
