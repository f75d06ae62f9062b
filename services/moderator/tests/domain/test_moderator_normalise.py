"""The normalised copy: disguises go, and every character knows where it came from."""

# ruff: noqa: RUF001 - ambiguous characters are what is tested

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundswell.moderator.domain.normalise import normalise

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff\u00ad\u202e\u2066\U000e0041\ufe0f\u0301\u3164\x00"


@pytest.mark.parametrize(
    ("disguised", "plain"),
    [
        ("IGNORE", "ignore"),
        ("ｆｏｒｂｉｄｄｅｎ", "forbidden"),
        ("ﬁle №5", "file no5"),
        ("f\u200bo\u00adr\u2060b\u202eid", "forbid"),
        ("f\U000e0061oo", "foo"),
        ("раураl", "paypal"),
        ("naïve cafe\u0301", "naive cafe"),
        ("ＳＴＲＡẞＥ", "strasse"),
        ("tabs\tand\n\n lines\u00a0and\u3000more", "tabs and lines and more"),
        ("٤١١١ ４２ 4️⃣", "4111 42 4"),
        ("en\u2013dash \u201cquoted\u201d don\u2019t", 'en-dash "quoted" don\'t'),
        ("𝐢𝐠𝐧𝐨𝐫𝐞 ⓐⓛⓛ", "ignore all"),
    ],
)
def test_a_disguise_reads_as_what_it_looks_like(disguised: str, plain: str) -> None:
    assert normalise(disguised).text == plain


@pytest.mark.parametrize("text", ["नमस्ते दुनिया", "日本語の文書", "مرحبا"])
def test_scripts_whose_marks_are_letters_keep_them(text: str) -> None:
    assert len(normalise(text).text) >= len(text)


@given(TEXTS)
def test_every_character_knows_where_it_came_from(text: str) -> None:
    copy = normalise(text)
    assert len(copy.positions) == len(copy.text)
    assert list(copy.positions) == sorted(copy.positions)
    assert all(0 <= position < len(text) for position in copy.positions)
    assert copy.start_in_source(len(copy.text)) == len(text)


@given(TEXTS)
def test_a_copy_of_a_copy_is_the_same(text: str) -> None:
    once = normalise(text).text
    assert normalise(once).text == once


@given(TEXTS, TEXTS)
def test_a_part_reads_as_it_does_inside_the_whole(left: str, right: str) -> None:
    joined = normalise(left).text + normalise(right).text
    assert normalise(left + right).text == joined.replace("  ", " ")


@given(st.text("abcDEF 12", max_size=20), st.data())
def test_invisible_characters_change_nothing(text: str, data: st.DataObject) -> None:
    stuffed = "".join(char + data.draw(st.text(INVISIBLE, max_size=3)) for char in text)
    assert normalise(stuffed).text == normalise(text).text


@given(st.text("ab é \n\u200b", max_size=20), st.data())
def test_a_span_of_the_copy_covers_its_source(text: str, data: st.DataObject) -> None:
    copy = normalise(text)
    start = data.draw(st.integers(0, len(copy.text)))
    end = data.draw(st.integers(start, len(copy.text)))
    source = text[copy.start_in_source(start) : copy.end_in_source(end)] if end > start else ""
    assert normalise(source).text == copy.text[start:end]


def test_visible_keeps_the_case_and_drops_what_is_hidden() -> None:
    copy = normalise("x eyJ\u200bAb")
    assert copy.visible(2, 7) == "eyJAb"


@pytest.mark.timeout(20)
@pytest.mark.parametrize("unit", ["plain words ", "é", "\u200b", "a \u0430", "\ufdfa", "가각 "])
def test_long_texts_are_folded_in_linear_time(unit: str) -> None:
    text = unit * (200_000 // len(unit))
    assert len(normalise(text).source) == len(text)
