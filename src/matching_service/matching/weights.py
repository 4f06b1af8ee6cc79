"""Versions of the fusion weights: the files that ``fit`` writes, and the active version.

``MATCHING_DATA_DIR/weights`` holds one JSON file per version, and a file ACTIVE that names the active one. Every
process checks ACTIVE before it ranks (one ``stat`` call), so an activation needs no restart. Without ACTIVE the default
weights apply.
"""

import logging
import re
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

from pydantic import BaseModel, ConfigDict, ValidationError

from matching_service.evaluation.compare import Difference
from matching_service.foundation.clock import new_id
from matching_service.foundation.errors import Bilingual, Conflict, NotFound, not_found
from matching_service.ranking.calibrate import LevelFloors
from matching_service.ranking.encoder import Encoder
from matching_service.ranking.fusion import Weights, default_weights

logger = logging.getLogger(__name__)
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_ACTIVE = "ACTIVE"


class CrossValidation(BaseModel):
    """The gain of the fitted weights over the present ones on held-out demands, with its 95 % confidence interval."""

    measure: str
    compared_with: str
    present: float
    fitted: float
    difference: float
    low: float
    high: float
    p_not_better: float

    @classmethod
    def of(
        cls, difference: Difference, *, k: int, compared_with: str, present: float, fitted: float
    ) -> "CrossValidation":
        return cls(
            measure=f"{difference.measure}@{k}",
            compared_with=compared_with,
            present=present,
            fitted=fitted,
            difference=difference.mean,
            low=difference.low,
            high=difference.high,
            p_not_better=difference.p_not_better,
        )


class WeightsFile(BaseModel):
    """A version of the weights with its provenance: encoder, lexicon, labels and cross-validation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: str
    created_at: datetime
    encoder: str
    lexicon: str
    values: dict[str, float]
    floors: dict[str, float]
    n_demands: int
    n_pairs: int
    labels_sha256: str
    cross_validation: CrossValidation

    def weights(self) -> Weights:
        """Return the weights. Raises ValueError for invalid values."""
        return Weights(self.version, MappingProxyType(self.values), LevelFloors(**self.floors))


class WeightsStore:
    """The versions of the weights in one folder, for one encoder."""

    def __init__(self, folder: Path, encoder: Encoder) -> None:
        self._folder = folder
        self._encoder_version = encoder.version
        self.default = default_weights(encoder.calibration)
        self._active = self.default
        self._seen: object = None

    def active(self) -> Weights:
        """Return the active weights.

        If their file is damaged or was fitted for another encoder, log a warning and return the default.
        """
        try:
            status = (self._folder / _ACTIVE).stat()
        except FileNotFoundError:
            self._active, self._seen = self.default, None
            return self.default
        if self._seen != (seen := (status.st_mtime_ns, status.st_ino)):
            try:
                self._active = self.get((self._folder / _ACTIVE).read_text(encoding="utf-8").strip())
            except (NotFound, Conflict, OSError, UnicodeDecodeError) as error:
                reason = error.detail.en if isinstance(error, (NotFound, Conflict)) else str(error)
                logger.warning("weights_not_usable", extra={"reason": reason, "used": self.default.version})
                self._active = self.default
            self._seen = seen
        return self._active

    def get(self, version: str) -> Weights:
        """Return the weights of a version. Raises NotFound, or Conflict for a damaged file or another encoder."""
        if version == self.default.version:
            return self.default
        file = self.file(version)
        if file.encoder != self._encoder_version:
            message = Bilingual(
                f"权重 {version} 是为编码器 {file.encoder} 拟合的，现用 {self._encoder_version}；请重新拟合。",
                f"Weights {version} were fitted for the encoder {file.encoder}, not for {self._encoder_version}.",
            )
            raise Conflict("weights_for_another_encoder", message)
        return file.weights()

    def file(self, version: str) -> WeightsFile:
        """Return the file of a version. Raises NotFound, or Conflict for a damaged file."""
        path = self._folder / f"{version}.json"
        if not _VERSION.fullmatch(version) or not path.is_file():
            raise not_found(Bilingual("权重版本", "Weights version"), version, code="weights_not_found")
        try:
            file = WeightsFile.model_validate_json(path.read_bytes())
            file.weights()
        except (ValidationError, ValueError, TypeError) as error:
            message = Bilingual(f"权重文件 {path} 已损坏。", f"The weights file {path} is damaged.")
            raise Conflict("weights_damaged", message) from error
        if file.version != version:
            message = Bilingual(
                f"权重文件 {path} 的内容是另一版本 {file.version}。",
                f"The file {path} contains another version, {file.version}.",
            )
            raise Conflict("weights_damaged", message)
        return file

    def files(self) -> list[WeightsFile]:
        """Return all versions, oldest first. Raises Conflict for a damaged file."""
        files = [self.file(path.stem) for path in self._folder.glob("*.json")]
        return sorted(files, key=lambda file: (file.created_at, file.version))

    def save(self, file: WeightsFile) -> Path:
        """Write a version atomically. Returns its path."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{file.version}.json"
        self._replace(path, file.model_dump_json(indent=1))
        return path

    def activate(self, version: str) -> Weights:
        """Activate a version. Raises Conflict if it was not shown to be better than the active one.

        Going back needs no proof: to the default, and to the versions that the active one was compared with.
        """
        weights, present = self.get(version), self.active()
        if version not in {present.version, self.default.version} and version not in self._ancestors(present.version):
            measured = self.file(version).cross_validation
            if measured.compared_with != present.version:
                message = Bilingual(
                    f"权重 {version} 是与 {measured.compared_with} 比较的，现用 {present.version}；请重新拟合。",
                    f"Weights {version} were compared with {measured.compared_with}, not {present.version}: fit again.",
                )
                raise Conflict("weights_not_compared", message)
            if measured.low <= 0:
                interval = f"{measured.difference:+.4f} [{measured.low:+.4f}, {measured.high:+.4f}]"
                message = Bilingual(
                    f"未能证明权重 {version} 优于现用的 {present.version}：{measured.measure} {interval}，"
                    "95% 区间含 0；未启用。",
                    f"Weights {version} were not shown to be better than {present.version}: {measured.measure} "
                    f"{interval}, the 95 % interval includes 0. Not activated.",
                )
                raise Conflict("weights_not_better", message)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._replace(self._folder / _ACTIVE, version)
        return weights

    def _ancestors(self, version: str) -> set[str]:
        """Follow ``compared_with`` back from a version, as far as the files exist. Includes the version itself."""
        ancestors: set[str] = set()
        while version not in ancestors:
            ancestors.add(version)
            try:
                version = self.file(version).cross_validation.compared_with
            except (NotFound, Conflict):
                break
        return ancestors

    def _replace(self, path: Path, text: str) -> None:
        part = self._folder / f".{path.name}-{new_id()}"
        part.write_text(text, encoding="utf-8")
        part.replace(path)
