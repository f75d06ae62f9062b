"""Characters that read as a Latin letter or an ASCII sign, and that no Unicode decomposition maps there.

A selection of Unicode's confusables (UTS 39), in lower case: the ones of living scripts and of the phonetic alphabet
that show the same shape in common fonts.
"""

# ruff: noqa: RUF001 - ambiguous characters are what this file is about

_LETTERS = {
    "a": "аαɑ",
    "b": "ьƅ",
    "c": "сϲᴄⲥ",
    "d": "ԁɗ",
    "e": "еҽ",
    "f": "ƒք",
    "g": "ɡցᶃ",
    "h": "һհ",
    "i": "іιıɩӏ",
    "j": "јϳ",
    "k": "кκᴋ",
    "l": "ǀɭ",
    "m": "мᴍ",
    "n": "ոռɴ",
    "o": "оοօᴏσ",
    "p": "рρᴘ",
    "q": "ԛզ",
    "r": "гᴦ",
    "s": "ѕꜱʂ",
    "t": "тτᴛ",
    "u": "υսᴜ",
    "v": "ѵνᴠ",
    "w": "ԝաᴡɯ",
    "x": "хχ",
    "y": "уүγʏ",
    "z": "ᴢʐ",
}
_SIGNS = {
    "-": "‐‑‒–—―−⁃˗➖ー",
    "'": "‘’‚‛′´ʹʼ",
    '"': "“”„‟″«»",
    "/": "∕⁄",
    ":": "∶ː",
    ".": "․",
    "_": "ˍ",
}

LOOKALIKES = {lookalike: plain for plain, group in (_LETTERS | _SIGNS).items() for lookalike in group}
