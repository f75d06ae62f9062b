"""Bytes become the text that they are, or a reason that says what to do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundswell.ingest.domain.decoding import (
    LONGEST_BLANK_RUN,
    DecodedText,
    FileType,
    Rejection,
    RejectionCode,
    decode,
    file_type_of,
)

LIMIT = 100_000


def rejection(name: str, content: bytes, limit_bytes: int = LIMIT) -> Rejection:
    decoded = decode(name, content, limit_bytes=limit_bytes)
    assert isinstance(decoded, Rejection)
    return decoded


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
def test_the_text_is_the_file_character_for_character(text: str) -> None:
    decoded = decode("a.md", text.encode(), limit_bytes=LIMIT)
    if not text.removeprefix("\ufeff").strip():
        assert isinstance(decoded, Rejection)
    else:
        assert decoded == DecodedText(text.removeprefix("\ufeff"), FileType.MARKDOWN)


def test_newlines_stay_as_they_are() -> None:
    decoded = decode("a.txt", b"one\r\ntwo\rthree\n", limit_bytes=LIMIT)
    assert decoded == DecodedText("one\r\ntwo\rthree\n", FileType.PLAIN_TEXT)


def test_one_byte_order_mark_is_dropped_and_only_at_the_start() -> None:
    decoded = decode("a.txt", "\ufeff\ufeffa\ufeff".encode(), limit_bytes=LIMIT)
    assert decoded == DecodedText("\ufeffa\ufeff", FileType.PLAIN_TEXT)


@pytest.mark.parametrize(
    ("name", "file_type"),
    [
        ("guide.md", FileType.MARKDOWN),
        ("docs/Guide.MARKDOWN", FileType.MARKDOWN),
        ("index.rst", FileType.RESTRUCTURED_TEXT),
        ("notes.txt", FileType.PLAIN_TEXT),
        ("notes.text", FileType.PLAIN_TEXT),
        ("README", FileType.PLAIN_TEXT),
        ("a/b/LICENSE", FileType.PLAIN_TEXT),
        ("a\\b\\readme", FileType.PLAIN_TEXT),
        ("main.py", FileType.SOURCE_CODE),
        ("src/lib.RS", FileType.SOURCE_CODE),
        ("Makefile", FileType.SOURCE_CODE),
        ("v1.2/notes.md", FileType.MARKDOWN),
    ],
)
def test_the_type_follows_from_the_name(name: str, file_type: FileType) -> None:
    assert file_type_of(name) is file_type


@pytest.mark.parametrize(
    "name", ["photo.png", "paper.pdf", "archive.tar.gz", "unknown", "", ".", "x.", "a." + "b" * 500]
)
def test_other_types_are_refused_by_name(name: str) -> None:
    refused = rejection(name, b"text")
    assert refused.code is RejectionCode.UNKNOWN_TYPE
    assert len(refused.message) < 200
    assert "Markdown" in refused.message


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", RejectionCode.EMPTY),
        (b"\xef\xbb\xbf", RejectionCode.EMPTY),
        (b" \n\t\n", RejectionCode.EMPTY),
        (b"a\0b", RejectionCode.BINARY),
        (b"caf\xe9", RejectionCode.NOT_UTF8),
        (b"\xed\xa0\x80", RejectionCode.NOT_UTF8),
        ("text".encode("utf-16"), RejectionCode.NOT_UTF8),
        (b"a" + b" " * (LONGEST_BLANK_RUN + 1) + b"b", RejectionCode.UNREADABLE),
    ],
)
def test_what_cannot_be_read_is_refused_with_what_to_do(content: bytes, code: RejectionCode) -> None:
    refused = rejection("a.txt", content)
    assert refused.code is code
    assert "again" in refused.message or "Send text" in refused.message


def test_the_longest_run_of_blanks_is_still_read() -> None:
    assert isinstance(decode("a.txt", b"a" + b"\n" * LONGEST_BLANK_RUN + b"b", limit_bytes=LIMIT), DecodedText)


def test_the_limit_is_inclusive() -> None:
    assert isinstance(decode("a.txt", b"a" * 10, limit_bytes=10), DecodedText)
    refused = rejection("a.txt", b"a" * 11, limit_bytes=10)
    assert refused.code is RejectionCode.TOO_LARGE
    assert "11 bytes" in refused.message
    assert "10" in refused.message


def test_a_message_quotes_nothing_of_the_file() -> None:
    assert "secret" not in rejection("a.txt", b"secret \xff").message
