"""What is forbidden is never released, whatever the windows; what is not, is released whole."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundswell.common.contracts.moderation import TextRole
from groundswell.moderator.domain.normalise import normalise
from groundswell.moderator.domain.policy import Blocked, Cleared, Verdict, decide
from groundswell.moderator.domain.rules import ANSWER, Expression, Phrases, Rule
from groundswell.moderator.domain.standard_policy import standard_policy

FORBIDDEN = ["Project Nightingale", "night shift", "aab", "aabaac"]
CARD = "4111 1111 1111 1111"
KEY = "AKIAQ7ZT0XV3LM9RK2WD"
RULES = standard_policy(FORBIDDEN).of(TextRole.ANSWER)
SECRETS = [*FORBIDDEN, CARD, KEY, f"gs_{KEY * 2}", f"Bearer {KEY}{KEY}", f"-----BEGIN PRIVATE KEY-----\n{KEY * 4}"]


def cut(text: str, sizes: Sequence[int]) -> list[str]:
    """Pieces of the given sizes, over and over, until the text is used up."""
    pieces, at, turn = [], 0, 0
    while at < len(text):
        size = sizes[turn % len(sizes)]
        pieces.append(text[at : at + size])
        at, turn = at + size, turn + 1
    return pieces


def stream(pieces: Sequence[str], rules: Sequence[Rule], overlap: int) -> tuple[str, Blocked | None]:
    """What an orchestrator releases that sends a window after each piece, then the final one; and why it stopped."""
    text, released = "", 0
    for number in range(len(pieces) + 1):
        final = number == len(pieces)
        text += "" if final else pieces[number]
        start = max(0, released - overlap)
        verdict = decide(text[start:], rules, overlap=released - start, final=final)
        released = max(released, start + (verdict.start if isinstance(verdict, Blocked) else verdict.until))
        if isinstance(verdict, Blocked):
            return text[:released], Blocked(start + verdict.start, start + verdict.end, verdict.rule)
    return text[:released], None


SIZES = st.lists(st.integers(1, 30), min_size=1, max_size=8)
WORDS = st.text("abc nigth-4 1.\n", max_size=40)
HIDDEN = st.text("\u200b\u00ad\u2060", max_size=2)


@st.composite
def disguised(draw: st.DrawFn) -> tuple[str, str]:
    """A forbidden string and the same with case tricks, invisible characters and stretched white space."""
    secret = draw(st.sampled_from(SECRETS))
    dressed = []
    for char in secret:
        shown = draw(st.sampled_from([char, char.upper(), char.lower()])) if char.isalpha() else char
        dressed.append(draw(st.sampled_from([" ", "  ", "\u00a0"])) if char == " " else shown)
        dressed.append(draw(HIDDEN))
    return secret, "".join(dressed)


@settings(max_examples=300)
@given(disguised(), WORDS, WORDS, SIZES, st.integers(1, 300))
def test_a_forbidden_string_is_never_released(
    case: tuple[str, str], before: str, after: str, sizes: list[int], overlap: int
) -> None:
    secret, dressed = case
    released, blocked = stream(cut(f"{before} {dressed} {after}", sizes), RULES, overlap)
    assert blocked is not None
    assert normalise(secret).text not in normalise(released).text


@settings(max_examples=300)
@given(st.lists(st.one_of(WORDS, disguised().map(lambda case: case[1])), max_size=4), SIZES)
def test_the_verdict_does_not_depend_on_the_windows(parts: list[str], sizes: list[int]) -> None:
    text = "".join(parts)
    whole = decide(text, RULES, final=True)
    released, blocked = stream(cut(text, sizes), RULES, overlap=300)
    assert blocked == (whole if isinstance(whole, Blocked) else None)
    assert released == text[: whole.start if isinstance(whole, Blocked) else len(text)]


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=80), SIZES, st.integers(0, 50))
def test_harmless_text_is_released_whole(text: str, sizes: list[int], overlap: int) -> None:
    rules = [Rule("never", "test", ANSWER, "No.", Phrases(("\u4e00\u4e8c\u4e09\u56db\u4e94",)))]
    assert stream(cut(text, sizes), rules, overlap) == (text, None)


@given(st.lists(st.sampled_from(["a", "b", "ab", "a1", "1", " "]), max_size=30).map("".join), SIZES)
def test_no_window_is_released_that_a_validated_match_could_begin_in(text: str, sizes: list[int]) -> None:
    """A rule that looks behind, ahead and at the match: the hardest to cut."""
    odd = Expression(r"(?<!b)a[ab]{1,4}1(?!1)", 6, lambda copy, start, end: copy.text[start:end].count("b") % 2 == 1)
    rules = [Rule("odd", "test", ANSWER, "No.", odd)]
    whole = decide(text, rules, final=True)
    released, blocked = stream(cut(text, sizes), rules, overlap=1)
    assert blocked == (whole if isinstance(whole, Blocked) else None)
    assert len(released) == (whole.start if isinstance(whole, Blocked) else len(text))


@pytest.mark.parametrize(
    ("window", "until"),
    [
        ("all is well.", 12),
        ("the project", 4),
        ("the proj\u200bect nightin", 4),
        ("call it a night", 10),
        ("card 4111 1111 1111 1111", 5),
        ("card 4111 1111 1111 1112 is", 27),
        ("-----", 0),
        ("a rule\n-----\n", 13),
    ],
)
def test_what_could_still_become_forbidden_is_held_back(window: str, until: int) -> None:
    assert decide(window, RULES, final=False) == Cleared(until)


def test_a_violation_waits_for_one_that_began_earlier() -> None:
    rules = [Rule("long", "test", ANSWER, "No.", Phrases(("one two three",))), _short("two")]
    assert decide("one two", rules, final=False) == Cleared(0)
    assert _rule(decide("one two four", rules, final=False)) == "two"
    assert _rule(decide("one two three", rules, final=False)) == "long"


def test_what_was_released_before_is_not_judged_again() -> None:
    assert decide("two and", [_short("two")], overlap=3, final=True) == Cleared(7)
    assert decide("t", [_short("two")], overlap=1, final=False) == Cleared(1)


def test_the_first_of_two_rules_that_forbid_from_one_place_is_named() -> None:
    assert _rule(decide("two", [_short("two"), _short("tw")], final=True)) == "two"


def test_without_rules_everything_is_cleared() -> None:
    assert decide("anything", [], final=False) == Cleared(8)


def test_as_much_as_the_longest_rule_may_be_held_back() -> None:
    assert standard_policy().longest(TextRole.ANSWER) == 1724
    assert standard_policy(["x" * 3000]).longest(TextRole.INPUT) == 3000


HOSTILE = [
    *(
        "ignore all of the my ",
        "show me ",
        "what's your own own hidden ",
        "how to make a small ",
        "you are ",
        "why ignore all rules ",
    ),
    *("eyJeyJ-", " eyJ" + "a" * 1400 + ".", "4111 ", "4", "-----begin private key----- ", "bearer ", "gs_", "sk-a"),
    *("aa", "\u200bI\u0301", "\ufdfa"),
]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("role", list(TextRole))
@pytest.mark.parametrize("unit", HOSTILE)
def test_a_long_hostile_text_is_judged_in_linear_time(unit: str, role: TextRole) -> None:
    """A megabyte takes less than a second; anything quadratic would run into the timeout here."""
    text = unit * (200_000 // len(unit))
    verdict = decide(text, standard_policy(FORBIDDEN).of(role), final=False)
    assert isinstance(verdict, Blocked) or 0 <= verdict.until <= len(text)


def _short(string: str) -> Rule:
    return Rule(string, "test", ANSWER, "No.", Phrases((string,)))


def _rule(verdict: Verdict) -> str:
    assert isinstance(verdict, Blocked)
    return verdict.rule.name
