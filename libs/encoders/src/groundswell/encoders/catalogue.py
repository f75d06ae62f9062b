"""The catalogue of models: models.toml as typed, frozen values. No torch here."""

import hashlib
import json
import tomllib
from decimal import Decimal
from enum import StrEnum
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from groundswell.encoders.errors import UnknownModel

CONVERSION = 1
"""Raised when convert.py writes other folders from the same weights; older folders are then built again."""

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Bytes = Annotated[int, Field(ge=0)]
Price = Annotated[Decimal, Field(ge=0)]

DEFAULT_LANGUAGE_MODEL = "qwen2.5-0.5b"


class Kind(StrEnum):
    EMBEDDER = "embedder"
    LANGUAGE = "language"
    NULL = "null"


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Taken(_Entry):
    """One member of a wheel, appended to the model folder's file `to`; parts of a file keep the catalogue's order."""

    member: str
    to: str

    @model_validator(mode="after")
    def _stays_inside(self) -> Self:
        path = PurePosixPath(self.to)
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(f"{self.to} leaves the model folder")
        return self


class Wheel(_Entry):
    """A pinned wheel of the package registry and what is taken from it."""

    package: str
    version: str
    size_bytes: Bytes
    sha256: Sha256
    take: tuple[Taken, ...] = Field(min_length=1)

    @property
    def requirement(self) -> str:
        return f"{self.package}=={self.version}"


class Hub(_Entry):
    """Where the same model lies for whoever has a model hub; `sha256` is that of its weights there, if known."""

    address: str
    sha256: Sha256 | None = None


class ModelSpec(_Entry):
    """One model.

    `weights_bytes` is the size of the assembled weight file, `folder_bytes` (rounded) that of the folder services load.
    `context_tokens` counts special tokens; an embedder cuts longer input. `dimension` is that of an embedder's vectors.
    Prices are in the accounting currency and 0 for a model that runs here.
    """

    name: str
    title: str
    kind: Kind
    licence: str
    licence_source: str
    weights: str | None = None
    weights_bytes: Bytes = 0
    weights_sha256: Sha256 | None = None
    folder_bytes: Bytes = 0
    context_tokens: int = Field(gt=0)
    dimension: int | None = Field(default=None, gt=0)
    price_per_input_token: Price
    price_per_output_token: Price
    hub: Hub | None = None
    wheels: tuple[Wheel, ...] = ()

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.kind is Kind.EMBEDDER) != (self.dimension is not None):
            raise ValueError("an embedder, and only an embedder, has a dimension")
        if (self.kind is Kind.NULL) == bool(self.wheels):
            raise ValueError("a model has wheels, the null model has none")
        if self.wheels and not (self.weights and self.weights_sha256):
            raise ValueError("weights come with their name and sha256")
        return self

    @property
    def download_bytes(self) -> int:
        return sum(wheel.size_bytes for wheel in self.wheels)

    @property
    def is_converted(self) -> bool:
        """True if the weights are GGUF and become a plain folder once."""
        return self.weights is not None and self.weights.endswith(".gguf")

    @property
    def fingerprint(self) -> str:
        """Changes with whatever changes the model folder; a folder of another fingerprint is built again."""
        pins = {
            "weights": self.weights_sha256,
            "wheels": [wheel.model_dump(exclude={"size_bytes"}) for wheel in self.wheels],
            "conversion": CONVERSION if self.is_converted else None,
        }
        return hashlib.sha256(json.dumps(pins, sort_keys=True).encode()).hexdigest()


def read_catalogue(path: Path) -> dict[str, ModelSpec]:
    """Read a catalogue file; raises pydantic.ValidationError or tomllib.TOMLDecodeError for a wrong one."""
    with path.open("rb") as file:
        entries = tomllib.load(file, parse_float=Decimal)
    return {name: ModelSpec(name=name, **entry) for name, entry in entries.items()}


@cache
def catalogue() -> dict[str, ModelSpec]:
    """The models that ship with Groundswell, by name."""
    return read_catalogue(Path(__file__).with_name("models.toml"))


def find_model(name: str, models: dict[str, ModelSpec] | None = None) -> ModelSpec:
    """Raises UnknownModel, which lists the known names."""
    known = catalogue() if models is None else models
    if name not in known:
        raise UnknownModel(name, sorted(known))
    return known[name]
