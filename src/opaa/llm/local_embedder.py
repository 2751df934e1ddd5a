"""Embeddings by onnxruntime, in this process."""

import asyncio
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from opaa.errors import EmbedderUnavailableError
from opaa.llm.tokenizer import load_tokenizer

_DEFAULT_MAX_TOKENS = 512
_CHARS_PER_TOKEN_LIMIT = 64  # no piece of a known tokenizer is longer; bounds the work on a huge text


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """What a model's folder says about itself, in `opaa.json` or in the files of sentence-transformers."""

    name: str
    max_tokens: int
    query_prefix: str
    passage_prefix: str
    pooling: Literal["mean", "cls"]

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Unset fields of `opaa.json` come from `sentence_bert_config.json` and `1_Pooling/config.json`, or are the
        folder's name, 512 tokens, E5's prefixes where the name contains "e5" and none elsewhere, and mean pooling."""
        own = _read_json(folder / "opaa.json")
        name = own.get("name", folder.name)
        e5 = "e5" in name.lower()
        max_tokens = _read_json(folder / "sentence_bert_config.json").get("max_seq_length", _DEFAULT_MAX_TOKENS)
        cls_pooling = _read_json(folder / "1_Pooling" / "config.json").get("pooling_mode_cls_token", False)
        return cls(
            name=name,
            max_tokens=own.get("max_tokens", max_tokens),
            query_prefix=own.get("query_prefix", "query: " if e5 else ""),
            passage_prefix=own.get("passage_prefix", "passage: " if e5 else ""),
            pooling=own.get("pooling", "cls" if cls_pooling else "mean"),
        )


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return values


class LocalEmbedder:
    """An exported model in a folder of the usual Hugging Face layout: `model.onnx` (or `onnx/model.onnx`) and
    `sentencepiece.bpe.model` or `tokenizer.json`.

    Texts are run one at a time, `threads` of them side by side (why: see `opaa.llm.e5_onnx`). Queries have threads of
    their own, so none waits for passages. Memory does not grow with the number of texts.
    """

    def __init__(self, folder: Path, *, threads: int) -> None:
        """Loads the model: about half a second. Raises EmbedderUnavailableError if it cannot be used."""
        try:
            description = ModelDescription.read(folder)
            self._tokenizer = load_tokenizer(folder)
            self._session = _load_session(folder)
        except ImportError as error:
            raise EmbedderUnavailableError(
                f"The package {error.name} is needed to run the embedding model in {folder}: install opaa[local]."
            ) from error
        except Exception as error:  # onnxruntime and the tokenizers have no exception types of their own to catch
            raise EmbedderUnavailableError(f"The embedding model in {folder} cannot be loaded: {error}") from error
        self.name = description.name
        self.max_tokens = description.max_tokens
        self.query_prefix = description.query_prefix
        self.passage_prefix = description.passage_prefix
        self._pooling = description.pooling
        self._inputs = {value.name for value in self._session.get_inputs()}
        names = [value.name for value in self._session.get_outputs()]
        self._output = next((name for name in ("sentence_embedding", "last_hidden_state") if name in names), names[0])
        self._passage_threads = ThreadPoolExecutor(threads, "embed-passages")
        self._query_threads = ThreadPoolExecutor(threads, "embed-queries")
        self.dimension = len(self._embed(self.query_prefix))

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return self._tokenizer.count([self.passage_prefix + text for text in texts])

    async def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        loop = asyncio.get_running_loop()
        runs = [loop.run_in_executor(self._passage_threads, self._embed, self.passage_prefix + text) for text in texts]
        vectors = await asyncio.gather(*runs)
        return np.stack(vectors) if vectors else np.empty((0, self.dimension), np.float32)

    async def embed_query(self, text: str) -> NDArray[np.float32]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._query_threads, self._embed, self.query_prefix + text)

    async def close(self) -> None:
        for pool in (self._query_threads, self._passage_threads):
            await asyncio.to_thread(pool.shutdown, cancel_futures=True)

    def _embed(self, text: str) -> NDArray[np.float32]:
        ids = self._tokenizer.encode(text[: self.max_tokens * _CHARS_PER_TOKEN_LIMIT], self.max_tokens)
        tokens = np.array([ids], np.int64)
        known = {
            "input_ids": tokens,
            "attention_mask": np.ones_like(tokens),
            "token_type_ids": np.zeros_like(tokens),
            "position_ids": np.arange(len(ids), dtype=np.int64)[None],
        }
        try:
            (output,) = self._session.run([self._output], {name: known[name] for name in self._inputs})
        except Exception as error:  # see above
            raise EmbedderUnavailableError(f"The embedding model {self.name} failed: {error}") from error
        vector = output[0]
        if vector.ndim == 2:  # one vector per token
            vector = vector[0] if self._pooling == "cls" else vector.mean(axis=0)
        vector = vector.astype(np.float32, copy=False)
        return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-12), np.float32)


def _load_session(folder: Path) -> Any:  # noqa: ANN401 - onnxruntime has no type annotations
    import onnxruntime  # noqa: PLC0415 - in the extra `local`, and 20 MB

    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # A plan per input length would be kept for ever. The arena, though, is what keeps memory flat: measured 210 MB
    # with it and 249 MB without, both after the same 400 texts on two threads.
    options.enable_mem_pattern = False
    options.log_severity_level = 3
    path = next((path for path in (folder / "model.onnx", folder / "onnx" / "model.onnx") if path.is_file()), None)
    if path is None:
        raise FileNotFoundError(f"no model.onnx is in {folder}")
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
