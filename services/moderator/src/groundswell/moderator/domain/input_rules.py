"""Inputs that try to take the assistant over, or ask for the means to hurt.

Rules see words, not intent, and what slips through is held by the structure of the prompt. So they block a phrase that
commands the assistant, and let it pass where its clause asks about it: "why does my agent ignore the system prompt",
"what does 'ignore previous instructions' mean". When the clause does not tell, they block: a person can rephrase a
question, an attack cannot be taken back.
"""

import re

from groundswell.moderator.domain.normalise import Normalised
from groundswell.moderator.domain.rules import INPUT, Expression, Rule

_NO_TAKEOVER = "The question gives the assistant orders about its own instructions. Ask about the documents instead."
_NO_WEAPONS = "Groundswell does not help to make weapons."
_NO_SELF_HARM = (
    "Groundswell cannot help with this. "
    "If you may be in danger, call your local emergency number or talk to someone you trust."
)


def _one_of(*words: str) -> str:
    return f"(?:{'|'.join(words)})"


def _up_to(most: int, *words: str) -> str:
    return f"(?:{_one_of(*words)} ){{0,{most}}}"


_CLAUSE = 160
_CLAUSE_START = re.compile(r"[.!?:;,]['\")]? | and | then | but |\n")
_ASKS = "why|how|what|when|which|whether|if|does|did|do (?:i|we|they)|is it|are there"
_MENTIONS = (
    r"phrases?|strings?|prompts?|attack\w*|inject\w*|jailbreak\w*|saying|says?|such as|called|detect\w*|prevent\w*"
    r"|filter\w*|block\w*|against|means?|explain\w*|about"
)
_ASKS_ABOUT_IT = re.compile(rf"\b{_one_of(_ASKS, _MENTIONS)}\b")
_TOLD_TO = re.compile(r"\byou (?:\w+ ){0,2}$")


def commands(text: Normalised, start: int, end: int) -> bool:  # noqa: ARG001 - an Accept
    """Whether the clause before the phrase does not merely ask about it."""
    clause = _clause_before(text, start)
    return not _ASKS_ABOUT_IT.search(clause) or bool(_TOLD_TO.search(clause))


def _clause_before(text: Normalised, start: int) -> str:
    """From the start of the clause to the phrase, as the source has it: a disguised word is no sign of a question."""
    first = text.start_in_source(max(0, start - _CLAUSE))
    return _CLAUSE_START.split(text.source[first : text.start_in_source(start)].casefold())[-1]


_THE = "all|any|every|everything|of|the|my|these|those|this|its|in|about"
_OLD = _one_of("previous|prior|preceding|above|earlier|former|initial|original|system|past|given|existing")
_ORDERS = _one_of("instructions?|directions?|directives?|prompts?|guidelines?|orders?")
_OWN = _one_of("instructions?|prompts?|rules?|guidelines?|programming|training|restrictions?|orders?")
_TOLD = _one_of("you were told|you have been told|above|before this|i said before|prior to this")

_IGNORE = _one_of("ignore|disregard|forget|skip over|do not follow|don'?t follow|stop following")
_IGNORE_WHAT = (
    rf"{_up_to(4, _THE)}(?:your )?{_OLD} (?:(?:and|or|system) (?:{_OLD} )?)?{_ORDERS}",
    rf"{_up_to(3, _THE)}your (?:{_OLD} )?{_OWN}",
    r"(?:all|any) (?:the )?(?:instructions?|directives?|guidelines?|rules)",
    rf"(?:all|everything|anything|what) (?:that )?{_TOLD}",
)
_SWITCH_OFF = _one_of("override|bypass|disable|turn off|break")
_OVERRIDE = (
    rf"\b{_IGNORE} {_one_of(*_IGNORE_WHAT)}\b"
    rf"|\b{_SWITCH_OFF} your (?:{_OLD} |safety |content |security )?{_one_of(_OWN, 'filters?', 'safeguards?')}\b"
)

_HIDDEN = _one_of("system|developer|hidden|secret|initial|original|internal|confidential")
_TEXTS = _one_of("prompts?|messages?|instructions?|rules?|guidelines?|directives?")
_TELL = _one_of(
    "reveal|show|print|display|output|repeat|tell|give|list|write|leak|expose|dump|recite|return|share|send|disclose",
    "quote|summari[sz]e|translate|encode|what (?:is|are|was|were)|what's",
)
_BETRAY = _one_of("reveal|leak|expose|dump|recite|disclose|exfiltrate")
_WHOLE = "me|us|out|back|exactly|verbatim|all|of|the|entire|full|complete|exact|whole|text|contents?"
_REVEAL = (
    rf"\b{_TELL} {_up_to(5, _WHOLE)}your {_up_to(2, _WHOLE, 'own|current')}(?:{_HIDDEN} ){{1,2}}{_TEXTS}\b"
    rf"|\b{_BETRAY} {_up_to(4, _WHOLE)}{_HIDDEN} (?:prompts?|messages?|instructions?)\b"
    rf"|\b(?:repeat|print|output|copy) {_up_to(3, 'all|of|the|every')}"
    rf"(?:text|words?|everything|instructions?|sentences?) {_up_to(3, 'that|written|you see|from|comes?')}above\b"
)

_BECOME = _one_of("you are|you're|act as|behave as|pretend to be|become|enter|switch to|roleplay as")
_LAWLESS = "(?:unrestricted|uncensored|unfiltered|amoral|evil) (?:ai|assistant|model|chatbot)"
_PERSONAS = _one_of("dan(?: mode)?|do anything now|developer mode|jailbroken|jailbreak mode|god mode", _LAWLESS)
_LIMITS = _one_of("restrictions?|rules?|guidelines?|limits|limitations?|filters?|policy|policies")
_PERSONA = (
    rf"\b{_BECOME} (?:now )?{_up_to(2, 'in|an?|the|into')}{_PERSONAS}\b"
    r"|\byou (?:can|may|will|must) do anything now\b"
    rf"|\b(?:pretend|act as if|act like|imagine) (?:that )?you have no (?:[a-z]{{1,12}} ){{0,2}}{_LIMITS}\b"
    r"|\byou are (?:no longer|not) (?:bound|restricted|limited|constrained) by "
    rf"{_up_to(3, 'any|the|your|its|these|ethical|content|safety')}{_LIMITS}\b"
)

_CONTROL_TOKENS = _one_of("im_start|im_end|system|endoftext|start_header_id|end_header_id|eot_id")
_FORGED_CHANNEL = rf"<\|{_CONTROL_TOKENS}\|>|<</?sys>>"

_HOW_TO = _one_of("how (?:to|do i|do you|can i|could i|would i|can we)|instructions (?:to|for)|steps to|teach me to")
_MAKE = _one_of("make|making|build|building|create|construct|assemble|synthesi[sz]e")
_BOMBS = "(?:(?:pipe|nail|car|dirty|fertilizer|pressure cooker|nuclear|petrol) )?bombs?"
_POISONS = "nerve gas|nerve agents?|sarin|ricin|mustard gas|(?:chemical|biological) weapons?|bioweapons?"
_WEAPONS = (
    rf"\b{_HOW_TO} {_MAKE} {_up_to(3, 'an?|my|own|some|the|home ?made|improvised|simple|small')}"
    rf"{_one_of(_BOMBS, 'explosive devices?|molotov(?: cocktails?)?', _POISONS)}\b"
)

_SEEKS = _one_of(
    "how (?:to|do i|can i|should i|could i)|ways? to|methods? to",
    "i (?:want|plan|intend|need|am going) to|help me",
)
_HARM_MYSELF = _one_of(
    "kill myself|commit suicide|hang myself|end my (?:own )?life|take my own life|hurt myself|cut myself"
)
_SELF_HARM = rf"\b{_SEEKS} {_up_to(2, 'best|painlessly|quickly|easily|safely')}{_HARM_MYSELF}\b"

INPUT_RULES = (
    Rule("instruction-override", "prompt-injection", INPUT, _NO_TAKEOVER, Expression(_OVERRIDE, 103, commands)),
    Rule("prompt-extraction", "prompt-injection", INPUT, _NO_TAKEOVER, Expression(_REVEAL, 116, commands)),
    Rule("jailbreak-persona", "prompt-injection", INPUT, _NO_TAKEOVER, Expression(_PERSONA, 69, commands)),
    Rule("forged-channel", "prompt-injection", INPUT, _NO_TAKEOVER, Expression(_FORGED_CHANNEL, 19, commands)),
    Rule("weapons", "violence", INPUT, _NO_WEAPONS, Expression(_WEAPONS, 82)),
    Rule("self-harm", "self-harm", INPUT, _NO_SELF_HARM, Expression(_SELF_HARM, 52)),
)
