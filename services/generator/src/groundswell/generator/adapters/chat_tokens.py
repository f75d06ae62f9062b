"""Chat messages to token ids and back, by the tokenizer in the model's folder."""

from collections.abc import Iterable, Sequence

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from groundswell.common.contracts.generation import ChatMessage
from groundswell.generator.domain.prompt_text import without_special_tokens


class ChatTokens:
    """The model's own chat template; special tokens come from the template alone, never from what a message says."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, end_ids: Iterable[int]) -> None:
        self._tokenizer = tokenizer
        self._special = sorted(tokenizer.get_added_vocab(), key=len, reverse=True)
        self.end_ids = frozenset(end_ids)

    def encode(self, messages: Sequence[ChatMessage]) -> list[int]:
        """The ids of the prompt, up to where the assistant begins.

        Raises ValueError if the template refuses the messages.
        """
        chat = [{"role": m.role, "content": without_special_tokens(m.content, self._special)} for m in messages]
        try:
            prompt = self._tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        except TemplateError as error:
            raise ValueError("the model's chat template does not take messages in this order of roles") from error
        token_ids: list[int] = self._tokenizer.encode(prompt, add_special_tokens=False)
        return token_ids

    def decode(self, token_ids: Sequence[int]) -> str:
        text = self._tokenizer.decode(list(token_ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return str(text)
