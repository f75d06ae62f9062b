"""What passes between the service and the process that holds the model: one JSON document a line."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from groundswell.generator.domain.jobs import (
    AttemptKey,
    Cancelled,
    Failed,
    Finished,
    GenerationJob,
    Refused,
    Started,
    Tokens,
)


@dataclass(frozen=True)
class HeldModel:
    """How to hold the model. `dtype` auto: bfloat16 where the processor computes in it."""

    folder: str
    slots: int = 8
    context_tokens: int = 8192
    prefill_tokens: int = 512
    threads: int = 1
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"


@dataclass(frozen=True)
class Submit:
    job: GenerationJob
    kind: Literal["submit"] = "submit"


@dataclass(frozen=True)
class Cancel:
    key: AttemptKey
    kind: Literal["cancel"] = "cancel"


@dataclass(frozen=True)
class Loaded:
    """The model is loaded and has generated once."""

    context_tokens: int
    kind: Literal["loaded"] = "loaded"


@dataclass(frozen=True)
class KeyedEvent:
    key: AttemptKey
    event: Annotated[
        Started | Tokens | Finished | Cancelled | Refused | Failed,
        Field(discriminator="kind"),
    ]


@dataclass(frozen=True)
class Stepped:
    """One step is done, also when it brought no event: the sign of life."""

    events: tuple[KeyedEvent, ...]
    seconds: float
    kind: Literal["stepped"] = "stepped"


ToWorker = Submit | Cancel
FromWorker = Loaded | Stepped

TO_WORKER: TypeAdapter[ToWorker] = TypeAdapter(Annotated[Submit | Cancel, Field(discriminator="kind")])
FROM_WORKER: TypeAdapter[FromWorker] = TypeAdapter(Annotated[Loaded | Stepped, Field(discriminator="kind")])
LOADED: TypeAdapter[Loaded] = TypeAdapter(Loaded)
HELD_MODEL: TypeAdapter[HeldModel] = TypeAdapter(HeldModel)


def to_line(message: ToWorker | FromWorker) -> bytes:
    adapter: TypeAdapter[ToWorker] | TypeAdapter[FromWorker] = (
        TO_WORKER if isinstance(message, ToWorker) else FROM_WORKER
    )
    return adapter.dump_json(message) + b"\n"  # type: ignore[arg-type]
