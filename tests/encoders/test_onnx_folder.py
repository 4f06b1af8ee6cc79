"""A model in a folder: every layout and every way of pooling that model hubs write."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers

from matching_service.encoders.choice import calibrate_own, configured_encoder
from matching_service.encoders.onnx_folder import OnnxModel
from matching_service.foundation.errors import InvalidInput, Unavailable
from matching_service.foundation.settings import Settings

WORDS = ["[PAD]", "[UNK]", "谐波", "减速器", "豆腐", "乳", "query:"]
TABLE = np.eye(len(WORDS), 8, dtype=np.float32)


def model_folder(folder: Path, *, name: str = "model.onnx", pools_itself: bool = False) -> Path:
    """A model whose token vectors are rows of ``TABLE``."""
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["states"])]
    shape: list[str | int] = ["n", "t", 8]
    if pools_itself:
        axes = numpy_helper.from_array(np.array([1], np.int64), "axes")
        nodes.append(helper.make_node("ReduceSum", ["states", "axes"], ["summed"], keepdims=0))
        shape = ["n", 8]
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["n", "t"]) for name in ("input_ids",)]
    output = helper.make_tensor_value_info("summed" if pools_itself else "states", TensorProto.FLOAT, shape)
    weights = [numpy_helper.from_array(TABLE, "table")] + ([axes] if pools_itself else [])
    graph = helper.make_graph(nodes, "words", inputs, [output], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, str(folder / name))
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.mark.parametrize("name", ["model.onnx", "onnx/model.onnx", "model_quantized.onnx"])
def test_the_vector_is_the_mean_of_the_tokens_without_padding(tmp_path: Path, name: str) -> None:
    model = OnnxModel(model_folder(tmp_path, name=name))
    vectors = model.encode(["谐波 减速器", "豆腐", "谐波 减速器 豆腐 乳"], is_query=False)
    np.testing.assert_allclose(vectors[0], (TABLE[2] + TABLE[3]) / 2)
    np.testing.assert_allclose(vectors[1], TABLE[4])
    np.testing.assert_allclose(vectors[2], TABLE[2:6].mean(axis=0))


def test_the_first_token_where_the_folder_says_so(tmp_path: Path) -> None:
    folder = model_folder(tmp_path)
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_cls_token": True}))
    np.testing.assert_allclose(OnnxModel(folder).encode(["减速器 谐波"], is_query=False), TABLE[[3]])


def test_a_model_that_pools_itself(tmp_path: Path) -> None:
    folder = model_folder(tmp_path, pools_itself=True)
    np.testing.assert_allclose(OnnxModel(folder).encode(["谐波 减速器"], is_query=False), [TABLE[2] + TABLE[3]])


def test_words_before_queries(tmp_path: Path) -> None:
    folder = model_folder(tmp_path)
    (folder / "config_sentence_transformers.json").write_text(json.dumps({"prompts": {"query": "query: "}}))
    model = OnnxModel(folder)
    np.testing.assert_allclose(model.encode(["谐波"], is_query=True), [(TABLE[6] + TABLE[2]) / 2])
    np.testing.assert_allclose(model.encode(["谐波"], is_query=False), TABLE[[2]])


def test_the_version_follows_the_content(tmp_path: Path) -> None:
    one = OnnxModel(model_folder(tmp_path / "a" / "bge"))
    other = OnnxModel(model_folder(tmp_path / "b" / "bge", pools_itself=True))
    assert one.version.startswith("bge@")
    assert one.version != other.version


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"model\.onnx"):
        OnnxModel(tmp_path)


def test_a_folder_must_be_calibrated_like_an_endpoint(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "words")
    settings = Settings(data_dir=tmp_path, encoder=str(folder))
    with pytest.raises(Unavailable, match="calibrat"):
        configured_encoder(settings)
    with pytest.raises(InvalidInput, match="topics"):
        calibrate_own(settings)  # seven words do not tell topics apart
