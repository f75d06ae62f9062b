from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundswell.generator.domain.token_text import INCOMPLETE, Released, TokenText

# A tokenizer of arbitrary byte strings: what byte-level tokenizers do to text, at their worst.
PIECES = [bytes([byte]) for byte in range(256)] + [
    "hé".encode(),
    "🎉".encode()[:2],
    "🎉".encode()[2:],
    b"ab",
    b"END",
    b"xEN",
    b"Dy",
]


def decode(token_ids: Sequence[int]) -> str:
    return b"".join(PIECES[token_id] for token_id in token_ids).decode(errors="replace")


def ids_of(text: str) -> list[int]:
    return list(text.encode())


def run(token_ids: Sequence[int], stop: tuple[str, ...] = (), prefix: tuple[int, ...] = ()) -> list[Released]:
    text = TokenText(decode, stop, prefix)
    released = []
    for token_id in token_ids:
        released.append(text.push(token_id))
        if released[-1].stopped:
            return released
    return [*released, text.flush()]


def text_of(released: list[Released]) -> str:
    return "".join(piece.text for piece in released)


@given(st.text())
def test_released_text_is_the_decoded_text(answer: str) -> None:
    assert text_of(run(ids_of(answer))) == decode(ids_of(answer)).rstrip(INCOMPLETE)


@given(st.text(alphabet="aé€🎉", max_size=30))
def test_half_a_character_is_never_released(answer: str) -> None:
    assert INCOMPLETE not in text_of(run(ids_of(answer)[:-1]))


@given(st.lists(st.integers(0, len(PIECES) - 1), max_size=40))
def test_noise_is_released_too_and_every_token_once(token_ids: list[int]) -> None:
    released = run(token_ids)
    assert [token_id for piece in released for token_id in piece.token_ids] == token_ids


@given(st.text(alphabet="aé🎉", max_size=20))
def test_ids_released_so_far_always_make_the_text_released_so_far(answer: str) -> None:
    ids: list[int] = []
    text = ""
    for piece in run(ids_of(answer)):
        ids, text = [*ids, *piece.token_ids], text + piece.text
        assert decode(ids) == text


@given(st.text(alphabet="aé🎉", max_size=20), st.data())
def test_going_on_after_a_prefix_gives_the_rest(answer: str, data: st.DataObject) -> None:
    ids = ids_of(answer)
    received = [token_id for piece in run(ids)[: data.draw(st.integers(0, len(ids)))] for token_id in piece.token_ids]
    rest = run(ids[len(received) :], prefix=tuple(received))
    assert decode(received) + text_of(rest) == answer


@given(st.text(alphabet="abEND", max_size=30), st.sampled_from([("END",), ("ab", "ND"), ("EE", "EEND"), ("",)]))
def test_text_ends_before_the_first_stop_string(answer: str, stop: tuple[str, ...]) -> None:
    ends = [at for word in stop if word and (at := answer.find(word)) >= 0]
    assert text_of(run(ids_of(answer), stop)) == answer[: min(ends, default=len(answer))]


@pytest.mark.parametrize("token_ids", [[260], [261, 262], ids_of("xENDy")])
def test_a_stop_string_is_found_however_tokens_cut_it(token_ids: list[int]) -> None:
    released = run([*ids_of("so "), *token_ids, *ids_of("more")], ("END",))
    assert text_of(released) == ("so " if token_ids == [260] else "so x")
    assert released[-1].stopped


def test_what_could_become_a_stop_string_waits_until_it_cannot() -> None:
    text = TokenText(decode, ("END",))
    assert [text.push(token_id).text for token_id in ids_of("aENa")] == ["a", "", "", "ENa"]
