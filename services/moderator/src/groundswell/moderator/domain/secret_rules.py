"""Credentials and payment cards: no answer carries them, whatever documents say. A question may: people paste logs."""

import base64
import binascii
import json
import re

from groundswell.moderator.domain.normalise import Normalised
from groundswell.moderator.domain.rules import ANSWER, Expression, Rule

_NO_CREDENTIALS = "The answer would have contained a credential. Ask for where it is kept, not for its value."
_NO_CARDS = "The answer would have contained a payment card number. Ask without the number."

_APART = r"(?<![a-z0-9_-])"
"""Not inside a longer word, path or encoded blob."""

_PLACEHOLDER = re.compile(r"example|your|placeholder|change.?me|dummy|xxxx|\.\.\.|1234567|abcdef|_here|-here|redacted")
_FEWEST_DISTINCT = 12
_IDENTITY_CLAIMS = frozenset({"exp", "iss", "aud", "jti", "sid", "scope", "client_id"})


def looks_random(text: Normalised, start: int, end: int) -> bool:
    """Whether a token could be a live one: documentation is full of tokens that say what to put in their place."""
    token = text.text[start:end]
    digits = sum(char.isdigit() for char in token)
    return digits > 1 and len(set(token)) >= _FEWEST_DISTINCT and not _PLACEHOLDER.search(token)


def is_random_bearer(text: Normalised, start: int, end: int) -> bool:
    return looks_random(text, text.text.index(" ", start) + 1, end)


def names_a_caller(text: Normalised, start: int, end: int) -> bool:
    """Whether a JSON Web Token (RFC 7519) has claims of a live one; documentation's examples say only who `sub` is."""
    payload = text.visible(start, end).split(".")[1]
    try:
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (binascii.Error, UnicodeDecodeError, ValueError, RecursionError):
        return False
    return isinstance(claims, dict) and not _IDENTITY_CLAIMS.isdisjoint(claims)


def passes_luhn(text: Normalised, start: int, end: int) -> bool:
    """The check digit of ISO/IEC 7812, for digits on one line: a column of numbers is no card."""
    digits = [int(char) for char in text.text[start:end] if char.isdigit()]
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    if (sum(digits[::-2]) + sum(doubled)) % 10 or len(set(digits)) == 1:
        return False
    return "\n" not in text.source[text.start_in_source(start) : text.end_in_source(end)]


_TOKENS: dict[str, tuple[str, int]] = {
    "aws-access-key": (r"(?:akia|asia)[a-z0-9]{16}(?![a-z0-9])", 20),
    "aws-secret-key": (r"aws_?secret_?(?:access_?)?key['\"]? ?[:=] ?['\"]?[a-z0-9/+]{40}(?![a-z0-9/+])", 66),
    "google-api-key": (r"aiza[a-z0-9_-]{35}(?![a-z0-9_-])", 39),
    "azure-storage-key": (r"accountkey=[a-z0-9/+]{86}==", 99),
    "github-token": (r"(?:gh[pousr]_[a-z0-9]{36}|github_pat_[a-z0-9_]{40})", 51),
    "gitlab-token": (r"glpat-[a-z0-9_-]{20}", 26),
    "slack-token": (r"xox[abeoprs]-[a-z0-9-]{24}", 29),
    "stripe-key": (r"[sr]k_live_[a-z0-9]{24}", 32),
    "openai-key": (r"sk-(?:proj-|svcacct-|ant-|or-)?[a-z0-9_-]{40}", 51),
    "hugging-face-token": (r"hf_[a-z0-9]{34}(?![a-z0-9])", 37),
    "package-index-token": (r"pypi-ageichlwas5vcm[a-z0-9_-]{40}", 59),
    "groundswell-key": (r"gs[_-][a-z0-9_-]{32}", 35),
}
"""Cloud and service tokens by the prefixes that their issuers gave them so that they can be found."""

_PRIVATE_KEY = (
    r"-----begin (?:[a-z0-9]{1,12} ){0,2}private key(?: block)?----- ?(?:\\n)?"
    r"(?:[a-z-]{4,20}: [a-z0-9,. -]{1,60} ){0,3}(?:[a-z0-9+/=] ?){48}"
)

CREDENTIAL_RULES = (
    Rule("private-key", "secret", ANSWER, _NO_CREDENTIALS, Expression(_PRIVATE_KEY, longest=407)),
    *(
        Rule(name, "secret", ANSWER, _NO_CREDENTIALS, Expression(_APART + pattern, longest, looks_random))
        for name, (pattern, longest) in _TOKENS.items()
    ),
    Rule(
        "json-web-token",
        "secret",
        ANSWER,
        _NO_CREDENTIALS,
        Expression(_APART + r"eyj[a-z0-9_-]{10,200}+\.eyj[a-z0-9_-]{10,1500}+\.[a-z0-9_-]{16}", 1724, names_a_caller),
    ),
    Rule(
        "bearer-token",
        "secret",
        ANSWER,
        _NO_CREDENTIALS,
        Expression(r"(?<![a-z0-9])bearer [a-z0-9._~+/-]{24}", 31, is_random_bearer),
    ),
)

_ISSUERS_16 = r"(?:4\d{3}|5[1-5]\d\d|2[2-7]\d\d|6(?:011|4[4-9]\d|5\d\d|2\d\d)|35\d\d)"
_CARD = (
    rf"(?<![\w.,/-])(?:{_ISSUERS_16}\d{{12}}|3[47]\d{{13}}|3(?:0[0-5]|[68]\d)\d{{11}})(?!\w)"
    rf"|(?<![\w-]){_ISSUERS_16}(?: \d{{4}} \d{{4}} \d{{4}}|-\d{{4}}-\d{{4}}-\d{{4}})(?!\w)"
    r"|(?<![\w-])3[47]\d\d(?: \d{6} \d{5}|-\d{6}-\d{5})(?!\w)"
)

CARD_RULES = (Rule("payment-card", "payment", ANSWER, _NO_CARDS, Expression(_CARD, 19, passes_luhn)),)
