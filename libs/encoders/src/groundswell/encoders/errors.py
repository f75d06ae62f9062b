"""What can go wrong between the catalogue and a model folder. Every message is one line that says what to do.

ModelStoreError
├── UnknownModel          the name is not in the catalogue
├── ModelMissing          the folder is not there yet
├── RegistryUnreachable   the package registry did not answer
├── WheelMissing          the registry answered, but has not this wheel
├── ChecksumMismatch      what came is not what is pinned
├── DiskFull              too little room, before or during a pull
└── ConversionFailed      the weights came, but could not be turned into a plain folder
"""


class ModelStoreError(Exception):
    """A pull or a load cannot go on; the message is fit for a terminal."""


class UnknownModel(ModelStoreError):
    def __init__(self, name: str, known: list[str]) -> None:
        super().__init__(f"unknown model {name!r}. Known models: {', '.join(known)}")


class ModelMissing(ModelStoreError):
    """Raised by `locate` for a model that nobody pulled."""


class RegistryUnreachable(ModelStoreError):
    """The network, or the registry behind it, did not answer."""


class WheelMissing(ModelStoreError):
    """The registry has no such package, version or wheel."""


class ChecksumMismatch(ModelStoreError):
    """A wheel, a member or the assembled weights differ from the catalogue; nothing of it was kept."""


class DiskFull(ModelStoreError):
    """The models folder's disk has too little room."""


class ConversionFailed(ModelStoreError):
    """The converter stopped; its last line is part of the message."""
