"""Torch threads for a whole machine, shared out before anything starts."""

TOO_FEW_TO_SPLIT = 2


def thread_budget(cores: int) -> dict[str, int]:
    """Threads of each service that runs models.

    For one question the retriever's encoder and the generator work one after the other, so up to two cores the
    generator may use both; beyond that the retriever's cores are its own. The embedder is not counted: it runs at a
    low priority and gets what the others leave.
    """
    if cores < 1:
        raise ValueError(f"a machine has at least one core, not {cores}")
    retriever = max(1, cores // 8)
    generator = cores if cores <= TOO_FEW_TO_SPLIT else cores - retriever
    return {"generator": generator, "retriever": retriever, "embedder": max(1, cores // 2)}
