"""Before generation: the input is judged, passages are found and judged, the prompt is built."""

from dataclasses import replace

from groundswell.common.contracts.answers import Outcome
from groundswell.common.contracts.generation import ChatMessage, GenerateAnswer
from groundswell.common.contracts.moderation import CheckText, TextBlocked, TextCleared, TextRole
from groundswell.common.contracts.retrieval import NoPassagesFound, Passage, PassagesRetrieved, RetrievePassages
from groundswell.orchestrator.domain.citing import Citing
from groundswell.orchestrator.domain.ending import CONTENT_FILTER, end
from groundswell.orchestrator.domain.prompts import grounded_prompt, plain_prompt, within_budget
from groundswell.orchestrator.domain.state import (
    Began,
    Effect,
    KeepPrompt,
    Release,
    RequestState,
    Send,
    Step,
    marked,
    noted,
)
from groundswell.orchestrator.domain.windows import digest

NOT_FOUND_TEXT = "I could not find an answer to this in these documents."


def begin(state: RequestState, _message: Began, _now: float) -> Step:
    """Moderation of the input and retrieval start side by side."""
    if not state.assistant.knowledge:
        state = replace(state, passages=())
    return state, unanswered(state)


def unanswered(state: RequestState) -> list[Effect]:
    """The commands whose outcomes generation waits for."""
    commands: list[Effect] = [] if state.input_cleared else [Send(_input_check(state))]
    if state.passages is not None:
        return commands
    if not state.found:
        return [*commands, Send(_retrieval(state))]
    return [*commands, *_passage_checks(state)]


def take_input_verdict(state: RequestState, verdict: TextCleared | TextBlocked, now: float) -> Step:
    if state.input_cleared or verdict.text_sha256 != digest(_said(state)):
        return state, []
    state = noted(marked(state, "input_moderation", now), verdict)
    if isinstance(verdict, TextBlocked):
        return end(state, Outcome.REFUSED, now, reason=verdict.reason, finish=CONTENT_FILTER)
    return generate_when_ready(replace(state, input_cleared=True), now)


def take_passages(state: RequestState, retrieved: PassagesRetrieved, now: float) -> Step:
    """What is quoted to the model and to the client is judged first: a document may hold what must not leave."""
    if state.found or state.passages is not None:
        return state, []
    found = within_budget(retrieved.passages, state.assistant.passage_budget_chars)
    state = replace(marked(state, "retrieval", now), found=found, retrieval_confidence=retrieved.confidence)
    return state, _passage_checks(state)


def _input_check(state: RequestState) -> CheckText:
    return CheckText(request_id=state.request_id, role=TextRole.INPUT, text=_said(state))


def _retrieval(state: RequestState) -> RetrievePassages:
    question = state.question
    return RetrievePassages(
        request_id=question.request_id,
        team=question.caller.team,
        access=question.caller.access,
        query=question.text,
        max_passages=state.assistant.max_passages,
        filters=question.filters,
    )


def _passage_checks(state: RequestState) -> list[Effect]:
    return [
        Send(CheckText(request_id=state.request_id, role=TextRole.PASSAGE, text=_shown(passage), window=number))
        for number, passage in enumerate(state.found)
        if number not in state.judged
    ]


def _said(state: RequestState) -> str:
    return "\n".join(message.content for message in state.question.messages)


def _is_of_passage(state: RequestState, verdict: TextCleared | TextBlocked) -> bool:
    """A verdict counts only for the text that it judged."""
    number = verdict.window
    return 0 <= number < len(state.found) and verdict.text_sha256 == digest(_shown(state.found[number]))


def _shown(passage: Passage) -> str:
    """All of a passage that the prompt quotes or a citation shows: a heading may hold what must not leave, too."""
    headings = dict.fromkeys([passage.section, *(part.section for part in passage.sections)])
    return "\n".join([passage.title, passage.name, passage.source, *headings, passage.text])


def take_passage_verdict(state: RequestState, verdict: TextCleared | TextBlocked, now: float) -> Step:
    if verdict.window in state.judged or state.passages is not None or not _is_of_passage(state, verdict):
        return state, []
    usable = isinstance(verdict, TextCleared)
    state = replace(state, judged={**state.judged, verdict.window: usable})
    if not usable:
        state = noted(state, verdict, document=state.found[verdict.window].document)
    if len(state.judged) < len(state.found):
        return state, []
    passages = tuple(passage for number, passage in enumerate(state.found) if state.judged[number])
    return generate_when_ready(replace(marked(state, "passage_moderation", now), passages=passages), now)


def nothing_found(state: RequestState, _message: NoPassagesFound, now: float) -> Step:
    if state.found or state.passages is not None:
        return state, []
    return generate_when_ready(replace(marked(state, "retrieval", now), passages=()), now)


def generate_when_ready(state: RequestState, now: float) -> Step:
    """Generation starts only once the input is cleared and the passages are decided."""
    if not state.input_cleared or state.passages is None or state.stage != "accepted":
        return state, []
    if state.assistant.knowledge and not state.passages:
        told = replace(state, citing=replace(state.citing, text=NOT_FOUND_TEXT))
        ended, effects = end(told, Outcome.COMPLETED, now, finish="stop")
        return ended, [Release(0, NOT_FOUND_TEXT), *effects]
    state = replace(
        marked(state, "prompt", now), stage="generating", citing=Citing(state.passages), attempt_epoch=state.epoch
    )
    command = generation_command(state)
    return state, [KeepPrompt(command.messages), Send(command)]


def generation_command(state: RequestState) -> GenerateAnswer:
    """The attempt that goes on after the tokens received so far."""
    return GenerateAnswer(
        request_id=state.request_id,
        attempt=state.attempt,
        epoch=state.epoch,
        model=state.assistant.model,
        messages=_prompt(state),
        max_tokens=state.question.max_tokens,
        sampling=state.question.sampling,
        prefix_token_ids=state.token_ids,
        losses=state.losses,
    )


def _prompt(state: RequestState) -> tuple[ChatMessage, ...]:
    messages = state.question.messages
    if state.assistant.knowledge:
        return grounded_prompt(state.assistant, messages, state.passages or ())
    return plain_prompt(state.assistant, messages)
