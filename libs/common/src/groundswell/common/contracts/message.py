"""What every payload is."""

from pydantic import BaseModel, ConfigDict


class Message(BaseModel):
    """A payload. A change within a topic's version is additive: new fields have defaults, none is re-typed."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_bytes="base64", val_json_bytes="base64")

    @classmethod
    def type_name(cls) -> str:
        return cls.__name__


class CommandFailed(Message):
    """The outcome of a command that its consumer gave up on; a dead letter holds the details."""

    command: str
    reason: str


class CommandExpired(Message):
    """The outcome of a command whose deadline passed before it cost anything."""

    command: str
