"""Small ONNX models in the layouts that exporters write, for the embedder of mounted models. They are real models:
a table of embeddings and, pooled or not, its rows."""

import json
from pathlib import Path

import numpy as np
import onnx
import tokenizers
from onnx import TensorProto, helper, numpy_helper

WORDS = ["<s>", "<pad>", "</s>", "<unk>", "query", "passage", ":", "red", "green", "blue"]
DIMENSION = 4
TABLE = np.random.default_rng(7).normal(size=(len(WORDS), DIMENSION)).astype(np.float32)


def write_model(
    folder: Path, *, pooled: bool = False, inputs: tuple[str, ...] = ("input_ids", "attention_mask")
) -> None:
    """`model.onnx`: gives each token's row of TABLE, or the mean of the rows as `sentence_embedding`."""
    folder.mkdir(parents=True, exist_ok=True)
    gather = helper.make_node("Gather", ["table", "input_ids"], ["last_hidden_state"])
    outputs = [helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, ["batch", "tokens", DIMENSION])]
    nodes, initializers = [gather], [numpy_helper.from_array(TABLE, "table")]
    if pooled:
        initializers.append(numpy_helper.from_array(np.array([1], np.int64), "axis"))
        nodes.append(helper.make_node("ReduceMean", ["last_hidden_state", "axis"], ["sentence_embedding"], keepdims=0))
        outputs.append(helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, ["batch", DIMENSION]))
    declared = [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"]) for name in inputs]
    graph = helper.make_graph(nodes, "tiny", declared, outputs, initializers)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), folder / "model.onnx"
    )


def write_tokenizer_json(folder: Path) -> None:
    """`tokenizer.json`: words at spaces, between <s> and </s>, cut at 8 tokens as exporters often leave it."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = {word: number for number, word in enumerate(WORDS)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.enable_truncation(8)
    tokenizer.enable_padding(length=8)
    tokenizer.save(str(folder / "tokenizer.json"))


def write_description(folder: Path, **values: object) -> None:
    (folder / "opaa.json").write_text(json.dumps(values), encoding="utf-8")
