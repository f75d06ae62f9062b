"""The analysed text that BM25 searches: stems of words, and identifiers whole and split.

Writer (embedder) and reader (retriever) must agree, so it lives here. The index tokenises it at white space only.
"""

import re
import threading
import unicodedata
from functools import lru_cache

import snowballstemmer

_WORD = re.compile(r"[^\W_]+(?:[._\-/:@+#][^\W_]+|_+|[+#]+)*", re.UNICODE)
_PARTS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+|[^\W\d_a-zA-Z]+", re.UNICODE)
_LONGEST = 80


def analyse(text: str) -> str:
    """Lexemes of `text` separated by spaces, in order, repeated as often as they occur."""
    return " ".join(lexeme for word in _WORD.findall(unicodedata.normalize("NFKC", text)) for lexeme in _lexemes(word))


@lru_cache(maxsize=50_000)
def _lexemes(word: str) -> tuple[str, ...]:
    whole = word.casefold()[:_LONGEST]
    if word.isalpha() and (word.islower() or word.istitle() or word.isupper()):
        return (_stem(whole),)
    parts = [part.casefold() for part in _PARTS.findall(word)]
    stems = [_stem(part) for part in parts if part != whole]
    return (whole, *stems[:12])


class _Stemmer(threading.local):
    """One for each thread: a stemmer keeps the word that it works on."""

    def __init__(self) -> None:
        self.english: snowballstemmer.stemmer = snowballstemmer.stemmer("english")


_STEMMER = _Stemmer()


def _stem(word: str) -> str:
    stem: str = _STEMMER.english.stemWord(word)
    return stem
