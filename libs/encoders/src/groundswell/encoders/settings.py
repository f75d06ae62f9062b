"""Where the model store keeps its folders: GROUNDSWELL_MODELS, else the user's cache folder."""

from pydantic_settings import SettingsConfigDict

from groundswell.common.settings import PREFIX, ModelSettings


class StoreSettings(ModelSettings):
    """What the commands of the model store read."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")
