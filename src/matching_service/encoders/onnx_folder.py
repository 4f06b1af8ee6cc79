"""A sentence encoder in a folder of this machine: ``model.onnx`` and ``tokenizer.json``, as model hubs export them."""

import os
from collections.abc import Sequence
from hashlib import file_digest
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from matching_service.foundation.errors import Bilingual, Unavailable
from matching_service.index.contract import FloatArray

_MODELS = ("model.onnx", "onnx/model.onnx", "model_quantized.onnx", "onnx/model_quantized.onnx")
_MAX_TOKENS = 512


class OnnxModel:
    """The model in ``folder``, run by onnxruntime. Threads may share it.

    ``1_Pooling/config.json`` says whether the first token or the mean of all is the vector (default: the mean), and
    ``config_sentence_transformers.json`` which words go before queries and documents, as sentence-transformers writes
    them. Raises Unavailable for a folder without model, or if onnxruntime and tokenizers are not installed.
    """

    is_available = True

    def __init__(self, folder: Path) -> None:
        try:
            from onnxruntime import InferenceSession, SessionOptions  # noqa: PLC0415  # an extra
            from tokenizers import Tokenizer  # noqa: PLC0415  # an extra
        except ImportError as error:
            raise Unavailable("encoder_not_installed", _NOT_INSTALLED) from error
        path = next((folder / name for name in _MODELS if (folder / name).is_file()), None)
        if path is None or not (folder / "tokenizer.json").is_file():
            raise Unavailable("no_model", _no_model(folder))
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(_MAX_TOKENS)
        self._tokenizer.enable_padding()
        options = SessionOptions()
        options.intra_op_num_threads = max(1, (os.cpu_count() or 1) - 1)  # the others go on answering
        self._session = InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._inputs = {entry.name for entry in self._session.get_inputs()}
        self._takes_first = _json(folder / "1_Pooling" / "config.json").get("pooling_mode_cls_token") is True
        prompts = _json(folder / "config_sentence_transformers.json").get("prompts") or {}
        self._prompts = {True: prompts.get("query", ""), False: prompts.get("document", prompts.get("passage", ""))}
        with path.open("rb") as file:
            self.version = f"{folder.name[:60]}@{file_digest(file, 'sha256').hexdigest()[:8]}"

    def encode(self, texts: Sequence[str], *, is_query: bool) -> FloatArray:
        """float32, shape (n_texts, n_dimensions)."""
        encoded = self._tokenizer.encode_batch([self._prompts[is_query] + text for text in texts])
        mask = np.array([entry.attention_mask for entry in encoded], dtype=np.int64)
        given = {
            "input_ids": np.array([entry.ids for entry in encoded], dtype=np.int64),
            "attention_mask": mask,
            "token_type_ids": np.array([entry.type_ids for entry in encoded], dtype=np.int64),
        }
        output = self._session.run(None, {name: given[name] for name in self._inputs})[0]
        states = np.asarray(output, dtype=np.float32)
        if states.ndim == 2:  # the model pools itself
            return states
        if self._takes_first:
            return states[:, 0]
        weights = mask[:, :, None].astype(np.float32)
        return np.asarray((states * weights).sum(axis=1) / np.maximum(weights.sum(axis=1), 1), dtype=np.float32)


def _json(path: Path) -> dict[str, Any]:
    found = orjson.loads(path.read_bytes()) if path.is_file() else {}
    return found if isinstance(found, dict) else {}


def _no_model(folder: Path) -> Bilingual:
    return Bilingual(
        f"{folder} 中没有 model.onnx 与 tokenizer.json。", f"{folder} holds no model.onnx with a tokenizer.json."
    )


_NOT_INSTALLED = Bilingual(
    "没有安装 onnxruntime：请安装 matching-service[onnx]，或改 MATCHING_ENCODER。",
    "onnxruntime is not installed: install matching-service[onnx] or change MATCHING_ENCODER.",
)
