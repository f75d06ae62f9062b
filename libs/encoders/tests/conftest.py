from pathlib import Path

import pytest

from groundswell.encoders.settings import StoreSettings
from groundswell.encoders.store import locate


@pytest.fixture(scope="session")
def minilm_folder() -> Path:
    return locate("minilm", models_dir=StoreSettings().models)


@pytest.fixture(scope="session")
def smollm2_folder() -> Path:
    return locate("smollm2-135m", models_dir=StoreSettings().models)
