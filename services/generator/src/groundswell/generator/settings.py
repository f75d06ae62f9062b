"""What the generator reads from its environment."""

from typing import Literal

from pydantic import Field

from groundswell.common.settings import ModelSettings, ServiceSettings
from groundswell.encoders.catalogue import DEFAULT_LANGUAGE_MODEL


class Settings(ModelSettings, ServiceSettings):
    """`model` is a name of the catalogue. After SIGTERM attempts go on for `generator_hand_back_after_s`.

    A step of the model `null` takes `null_token_delay_s`, and `null_answer_delay_s` for each answer in the batch.
    """

    model: str = DEFAULT_LANGUAGE_MODEL
    generator_slots: int = Field(default=8, ge=1, le=256)
    generator_context_tokens: int = Field(default=8192, ge=16)
    generator_prefill_tokens: int = Field(default=256, ge=1)
    generator_dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    generator_step_timeout_s: float = Field(default=60.0, gt=0)
    generator_hand_back_after_s: float = Field(default=5.0, ge=0)
    null_token_delay_s: float = Field(default=0.0, ge=0)
    null_answer_delay_s: float = Field(default=0.0, ge=0)
