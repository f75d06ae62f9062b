"""From the bytes of a file to the document's text, or to a reason why there is none."""

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath

LONGEST_BLANK_RUN = 16_384
"""Code points of white space in a row. No file that people read has more; a chunk never holds less than one run."""

_MARKDOWN = frozenset({".md", ".markdown", ".mdown", ".mkd"})
_RESTRUCTURED_TEXT = frozenset({".rst", ".rest"})
_PLAIN_TEXT = frozenset({".txt", ".text", ".log", ".csv", ".tsv", ".adoc", ".asciidoc", ".org"})
_SOURCE_CODE_NAMES = """
bash bat c cc cfg clj conf cpp cs css cxx dart erl ex exs go gradle graphql h hpp hs ini java jl js json jsonl jsx kt
lua m ml php pl pm proto ps1 py pyi r rb rs scala scss sh sql svelte swift tf toml ts tsx vue xml yaml yml zig
"""
_SOURCE_CODE = frozenset(f".{name}" for name in _SOURCE_CODE_NAMES.split())
_NAMES_WITHOUT_SUFFIX = """
readme license licence copying copyright notice authors contributors contributing maintainers changelog changes history
news install todo security
"""
_READ_WITHOUT_SUFFIX = frozenset(_NAMES_WITHOUT_SUFFIX.split())
_CODE_WITHOUT_SUFFIX = frozenset(
    {"makefile", "dockerfile", "jenkinsfile", "procfile", "gemfile", "rakefile", "vagrantfile"}
)

_UTF8_MARK = b"\xef\xbb\xbf"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_BLANK_RUN = re.compile(rf"(?<!\s)\s{{{LONGEST_BLANK_RUN + 1},}}+")


class FileType(StrEnum):
    MARKDOWN = "markdown"
    RESTRUCTURED_TEXT = "restructuredtext"
    PLAIN_TEXT = "text"
    SOURCE_CODE = "code"


class RejectionCode(StrEnum):
    """Why a file cannot become a document."""

    UNKNOWN_TYPE = "unknown_type"
    TOO_LARGE = "too_large"
    EMPTY = "empty"
    BINARY = "binary"
    NOT_UTF8 = "not_utf8"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Rejection:
    """`message` says what to do and quotes nothing of the file."""

    code: RejectionCode
    message: str


@dataclass(frozen=True, slots=True)
class DecodedText:
    """The document's text: the file character for character, less a leading byte order mark."""

    text: str
    file_type: FileType


def decode(name: str, content: bytes, *, limit_bytes: int) -> DecodedText | Rejection:
    """The text of the file called `name`; strict UTF-8, newlines as they are."""
    file_type = file_type_of(name)
    if isinstance(file_type, Rejection):
        return file_type
    refusal = refuse_size(len(content), limit_bytes=limit_bytes) or _refuse_bytes(content)
    if refusal:
        return refusal
    try:
        text = content.removeprefix(_UTF8_MARK).decode("utf-8")
    except UnicodeDecodeError as error:
        return Rejection(
            RejectionCode.NOT_UTF8, f"The file is not UTF-8 (byte {error.start}). Save it as UTF-8 and send it again."
        )
    return _refuse_text(text) or DecodedText(text, file_type)


def file_type_of(name: str) -> FileType | Rejection:
    """Decided by the name's suffix; a few well-known names need none."""
    path = PurePosixPath(name.replace("\\", "/"))
    suffix, stem = path.suffix.lower(), path.stem.lower()
    if suffix in _MARKDOWN:
        return FileType.MARKDOWN
    if suffix in _RESTRUCTURED_TEXT:
        return FileType.RESTRUCTURED_TEXT
    if suffix in _PLAIN_TEXT or (not suffix and stem in _READ_WITHOUT_SUFFIX):
        return FileType.PLAIN_TEXT
    if suffix in _SOURCE_CODE or stem in _CODE_WITHOUT_SUFFIX:
        return FileType.SOURCE_CODE
    kind = f"Files of the type {suffix[:16]!r}" if suffix else "Files without a suffix"
    return Rejection(
        RejectionCode.UNKNOWN_TYPE, f"{kind} are not read. Send Markdown, reStructuredText, plain text or source code."
    )


def refuse_size(size: int, *, limit_bytes: int) -> Rejection | None:
    """Also good before the bytes are fetched."""
    if size > limit_bytes:
        return Rejection(
            RejectionCode.TOO_LARGE,
            f"The file has {size} bytes; the limit is {limit_bytes}. Split it and send the parts.",
        )
    return None


def _refuse_bytes(content: bytes) -> Rejection | None:
    if not content.removeprefix(_UTF8_MARK):
        return Rejection(RejectionCode.EMPTY, "The file is empty. Send it again when it has text.")
    if content.startswith(_UTF16_MARKS):
        return Rejection(RejectionCode.NOT_UTF8, "The file is UTF-16. Save it as UTF-8 and send it again.")
    if b"\0" in content:
        return Rejection(
            RejectionCode.BINARY, "The file holds binary content (a NUL byte). Send text encoded as UTF-8."
        )
    return None


def _refuse_text(text: str) -> Rejection | None:
    if not text.strip():
        return Rejection(RejectionCode.EMPTY, "The file holds only white space. Send it again when it has text.")
    if _BLANK_RUN.search(text):
        return Rejection(
            RejectionCode.UNREADABLE,
            f"The file has more than {LONGEST_BLANK_RUN} blanks in a row. Remove them and send it again.",
        )
    return None
