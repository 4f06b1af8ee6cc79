"""The encoder that the settings choose: one that came with the service, or a model at an address or in a folder."""

import re
from hashlib import sha256
from pathlib import Path

import numpy as np

from matching_service.foundation.errors import Bilingual, Unavailable
from matching_service.foundation.settings import ENCODERS, Settings
from matching_service.ranking.encoder import CentredEncoder, Encoder, Model, load_encoder, read_calibration

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def configured_encoder(settings: Settings) -> Encoder:
    """Return the encoder of the settings. Raises Unavailable for a model of one's own that was not calibrated yet."""
    if settings.encoder in ENCODERS:
        return load_encoder(settings.encoder)
    path = calibration_path(settings)
    if not path.exists():
        raise Unavailable("encoder_not_calibrated", _NOT_CALIBRATED)
    content = path.read_bytes()
    calibration = read_calibration(settings.encoder_model, content)
    return CentredEncoder(own_model(settings), calibration, sha256(content).hexdigest()[:8])


def own_model(settings: Settings) -> Model:
    """Return the model at the address or in the folder of the settings."""
    from matching_service.encoders.endpoint import EndpointModel  # noqa: PLC0415  # most offices have none
    from matching_service.encoders.onnx_folder import OnnxModel  # noqa: PLC0415

    if settings.encoder.startswith("/"):
        return OnnxModel(Path(settings.encoder))
    key = settings.encoder_key.get_secret_value() if settings.encoder_key else None
    return EndpointModel(settings.encoder, settings.encoder_model, key=key, allow_public=settings.encoder_allow_public)


def calibration_path(settings: Settings) -> Path:
    """The file of the calibration of the model that the settings name."""
    name = settings.encoder_model or Path(settings.encoder).name
    return settings.encoders_dir / f"{_UNSAFE.sub('-', name)}.npz"


def calibrate_own(settings: Settings) -> dict[str, float]:
    """Measure the calibration of the model of the settings and store it. Raises EncoderAway.

    Return per language the share of the odd topics whose expert is the nearest, by a calibration on the even ones.
    """
    from matching_service.encoders.calibration import (  # noqa: PLC0415  # slow to import
        TopicVectors,
        calibrate,
        calibration_file,
    )

    vectors = TopicVectors(own_model(settings))
    even, odd = np.arange(0, len(vectors), 2), np.arange(1, len(vectors), 2)
    found = vectors.first_places(odd, calibrate(vectors, even))
    content = calibration_file(calibrate(vectors, np.arange(len(vectors))), with_curve=True)
    path = calibration_path(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    written = path.with_suffix(".new")
    written.write_bytes(content)
    written.replace(path)
    return found


_NOT_CALIBRATED = Bilingual(
    "该编码器尚未校准；请先运行 matching-service encoder calibrate。",
    "This encoder is not calibrated; run first: matching-service encoder calibrate",
)
