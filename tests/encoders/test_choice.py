"""An encoder of the operator's own is calibrated, then ranks; its calibration makes its signals comparable."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from encoders.model_server import N_DIMENSIONS, ModelServer, model_server

from matching_service.encoders.calibration import LANGUAGES, TopicVectors, calibrate, curve_of
from matching_service.encoders.choice import calibrate_own, calibration_path, configured_encoder
from matching_service.foundation.errors import InvalidInput, Unavailable
from matching_service.foundation.settings import Settings
from matching_service.index.contract import FloatArray
from matching_service.ranking.encoder import CURVES, EncoderAway, NoEncoder, load_encoder, load_model


def settings_of(models: ModelServer, folder: Path, model: str = "org/bge m3:latest") -> Settings:
    return Settings(data_dir=folder, encoder=models.url, encoder_model=model)


def test_a_calibrated_endpoint_is_an_encoder(tmp_path: Path) -> None:
    with model_server() as models:
        settings = settings_of(models, tmp_path)
        with pytest.raises(Unavailable, match="calibrat"):
            configured_encoder(settings)
        found = calibrate_own(settings)
        assert calibration_path(settings).parent == tmp_path / "encoders"
        encoder = configured_encoder(settings)
        vectors = encoder.encode(["谐波减速器", "谐波减速机", "豆腐乳发酵", "…"], ["zh"] * 4)
        assert vectors[3] is None
        first, near, far = (np.asarray(vector) for vector in vectors[:3])
        models.fault = "other dimensions"
        with pytest.raises(EncoderAway, match="calibrate again"):
            encoder.encode(["谐波减速器"], ["zh"])
    assert set(found) == set(LANGUAGES)
    assert encoder.n_dimensions == N_DIMENSIONS
    assert encoder.version.startswith("org/bge m3:latest/")
    assert first @ near > first @ far
    assert np.linalg.norm(first) == pytest.approx(1, abs=1e-6)
    assert encoder.calibration.steepness > 0


def test_the_encoders_that_come_with_the_service_need_no_file(tmp_path: Path) -> None:
    assert configured_encoder(Settings(data_dir=tmp_path)) is load_encoder("universal")
    assert isinstance(configured_encoder(Settings(data_dir=tmp_path, encoder="none")), NoEncoder)


def test_a_failed_calibration_keeps_the_former_one(tmp_path: Path) -> None:
    with model_server() as models:
        settings = settings_of(models, tmp_path)
        calibrate_own(settings)
        before = calibration_path(settings).read_bytes()
        models.fault = "404"
        with pytest.raises(EncoderAway):
            calibrate_own(settings)
    assert calibration_path(settings).read_bytes() == before


def test_the_curve_of_the_reference_is_its_own() -> None:
    vectors = TopicVectors(load_model("universal"))
    odds = calibrate(vectors, np.arange(len(vectors)))[2]
    assert curve_of(odds) == pytest.approx(CURVES["universal"], rel=1e-3)


def test_a_model_that_cannot_tell_topics_apart_is_refused() -> None:
    class Same:
        version = "same-1"
        is_available = True

        def encode(self, texts: Sequence[str], *, is_query: bool) -> FloatArray:
            return np.ones((len(texts), 8), dtype=np.float32)

    vectors = TopicVectors(Same())
    with pytest.raises(InvalidInput, match="cannot tell"):
        calibrate(vectors, np.arange(len(vectors)))
