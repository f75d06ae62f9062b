"""A question as the two searches take it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from groundswell.common.lexemes import analyse

MOST_CHARACTERS = 2_000
"""What is embedded ends at 256 tokens anyway; a pasted log must not cost more than a question."""
MOST_LEXEMES = 48
"""BM25 costs a posting list each. A question has about eight."""

# Words that carry the form of a question, not its subject. A list: the index does not tell how common a lexeme is.
_FUNCTION_WORDS = """
    a about after all also am an and any are as at be because been before being between both but by can cannot could
    did do does doing done down during each either else ever every few for from further get gets give given go goes had
    has have having he her here hers him his how however i if in into is it its just let like many may me might mine
    more most much must my no nor not of off on once one only onto or other ought our out over own per please same say
    says shall she should show since so some such tell than that the their them then there these they this those though
    through to too under until up upon us use used using very was we were what whatever when where whether which while
    who whom whose why will with within without would you your s t d ll m re ve
"""
_FUNCTION_LEXEMES = frozenset(analyse(_FUNCTION_WORDS).split())
_IDENTIFIER = re.compile(r"\w+(?:[._\-/:@+#]\w+)+|\w*(?:\d\w*[^\W\d]|[^\W\d]\w*\d)\w*|\w*[a-z][A-Z]\w*|\w*_\w+")


@dataclass(frozen=True, slots=True)
class Query:
    """`text` is embedded. `lexemes` are searched, each once: those that carry the subject, or all if none does.

    `identifiers` are those of them that name a thing exactly (error codes, flags, versions, dotted and compound names),
    each with the lexemes of its parts.
    """

    text: str
    lexemes: tuple[str, ...]
    identifiers: Mapping[str, frozenset[str]]

    @property
    def is_name(self) -> bool:
        """Whether the query is an identifier and nothing else."""
        return bool(self.identifiers) and " " not in self.text

    @property
    def terms(self) -> tuple[str, ...]:
        """The lexemes without those that only repeat a part of an identifier."""
        parts = frozenset[str]().union(*self.identifiers.values())
        return tuple(lexeme for lexeme in self.lexemes if lexeme not in parts)


def read_query(text: str) -> Query:
    """Cut `text` to what a search can use. Total: any text is a query, an empty one has no lexemes."""
    cut = " ".join(text[:MOST_CHARACTERS].split())
    lexemes = tuple(dict.fromkeys(analyse(cut).split()))
    telling = tuple(lexeme for lexeme in lexemes if lexeme not in _FUNCTION_LEXEMES) or lexemes
    searched = telling[:MOST_LEXEMES]
    names = {match.casefold(): match for match in _IDENTIFIER.findall(cut)}
    identifiers = {
        name: frozenset(analyse(spelling).split()) - {name} for name, spelling in names.items() if name in searched
    }
    return Query(cut, searched, identifiers)
