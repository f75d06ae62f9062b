"""Which files of a folder are documents, by name: what ingest reads, so that pictures and archives stay at home."""

from pathlib import PurePosixPath

_SUFFIX_NAMES = """
md markdown mdown mkd rst rest txt text log csv tsv adoc asciidoc org
bash bat c cc cfg clj conf cpp cs css cxx dart erl ex exs go gradle graphql h hpp hs ini java jl js json jsonl jsx kt
lua m ml php pl pm proto ps1 py pyi r rb rs scala scss sh sql svelte swift tf toml ts tsx vue xml yaml yml zig
"""
_SUFFIXES = frozenset(f".{name}" for name in _SUFFIX_NAMES.split())
_WELL_KNOWN_NAMES = """
readme license licence copying copyright notice authors contributors contributing maintainers changelog changes history
news install todo security
"""
_NAMES_WITHOUT_SUFFIX = frozenset(_WELL_KNOWN_NAMES.split())
_CODE_WITHOUT_SUFFIX = frozenset(
    {"makefile", "dockerfile", "jenkinsfile", "procfile", "gemfile", "rakefile", "vagrantfile"}
)


def is_readable(name: str) -> bool:
    """Whether ingest reads files called so; the server has the last word."""
    path = PurePosixPath(name)
    suffix, stem = path.suffix.lower(), path.stem.lower()
    return suffix in _SUFFIXES or (not suffix and stem in _NAMES_WITHOUT_SUFFIX) or stem in _CODE_WITHOUT_SUFFIX


def kind_of(name: str) -> str:
    suffix = PurePosixPath(name).suffix.lower()
    return f"files of type {suffix}" if suffix else "files without a suffix"
