"""A city in a real database, for benchmarks of the whole service: organizations, profiles with works, open demands.

It is stored through the command line and kept in ``results/cache``; each benchmark works on a copy. Encoding a hundred
thousand texts would take half an hour, so while the index is built a text's vector is the mean of its sentences'; the
service then runs with the real encoder, which cannot tell the difference from the version of the vectors.
"""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from zlib import crc32

import numpy as np

from benchmarks.corpus import (
    GENERATOR,
    PAPERS,
    SEED,
    Corpus,
    demands,
    keywords,
    paper_titles,
    sentence_vectors,
    sentences,
    split_sentences,
)
from benchmarks.measure import RESULTS, apart
from matching_service.foundation.settings import Settings
from matching_service.index.contract import FloatArray
from matching_service.index.snapshot import Snapshot
from matching_service.matching.engine import Engine
from matching_service.ranking.encoder import load_encoder, unit_vector
from matching_service.store.database import Database
from matching_service.text.terms import count_terms, is_ngram

CITY = 1
"""Changes whenever the same seed gives another city."""
N_PROFILES, N_DEMANDS = 100_000, 2_000
QUICK_PROFILES, QUICK_DEMANDS = 20_000, 200

_N_ORGANIZATIONS = 2_000
_CLUSTERS = (
    "装备制造", "泛家居", "汽车及新能源", "军民融合及电子信息", "智能制造装备及机器人", "新材料", "食品饮料",
    "生物医药及大健康",
)  # fmt: skip
_KINDS = ("expert", "achievement", "team", "platform", "society")
_KIND_SHARES = (0.6, 0.2, 0.1, 0.07, 0.03)
_PROVINCES = ("44", "44", "44", "44", "11", "31", "32", "33", "42", "43", "51", "61")
_NOISE = 0.25

Record = dict[str, object]


@dataclass(frozen=True, slots=True)
class City:
    """A data folder of the service, and its environment."""

    folder: Path

    @property
    def settings(self) -> Settings:
        """All that an operator may choose is chosen, whatever the environment or a file ``.env`` says."""
        url = f"sqlite:///{self.folder / 'matching.sqlite3'}"
        return Settings(data_dir=self.folder, database_url=url, encoder="universal", log_level="INFO")

    @property
    def environment(self) -> dict[str, str]:
        """The same for another process."""
        chosen = self.settings.model_dump(exclude_unset=True)
        return os.environ | {f"MATCHING_{name.upper()}": str(value) for name, value in chosen.items()}

    def cli(self, *arguments: str) -> str:
        """What a command prints; raises CalledProcessError when it fails."""
        command = [sys.executable, "-m", "matching_service", *arguments]
        done = subprocess.run(command, env=self.environment, check=True, stdout=subprocess.PIPE, text=True)
        return done.stdout.strip()


@contextmanager
def city(n_profiles: int, n_demands: int) -> Iterator[City]:
    """A copy of the city of this size, which is built where it is not kept yet."""
    kept = _kept(n_profiles, n_demands)
    with tempfile.TemporaryDirectory(dir=RESULTS, prefix="city-") as folder:
        shutil.copytree(kept.folder, folder, dirs_exist_ok=True)
        yield City(Path(folder))


def _kept(n_profiles: int, n_demands: int) -> City:
    source = sha256(PAPERS.read_bytes()).hexdigest()[:8] if PAPERS.exists() else "sample"
    kept = City(RESULTS / "cache" / f"city-{n_profiles}-{n_demands}-{GENERATOR}.{CITY}-{source}")
    if not kept.folder.exists():
        part = City(kept.folder.with_name(f"{kept.folder.name}.part"))
        shutil.rmtree(part.folder, ignore_errors=True)
        part.folder.mkdir(parents=True)
        _store(part, n_profiles, n_demands)
        part.folder.rename(kept.folder)
    kept.cli("migrate")
    apart(_index, kept)
    return kept


def _store(new: City, n_profiles: int, n_demands: int) -> None:
    records = {
        "organizations": _organizations(),
        "profiles": _profiles(n_profiles),
        "demands": _demands(n_demands),
    }
    for what, rows in records.items():
        file = new.folder / f"{what}.jsonl"
        with file.open("w", encoding="utf-8") as out:
            out.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        new.cli("import", what, str(file))  # exits with 1 when any row is bad
        file.unlink()


def _organizations() -> Iterator[Record]:
    generator = np.random.default_rng([SEED, 10])
    for number in range(_N_ORGANIZATIONS):
        kind, name = (("enterprise", "企业"), ("university", "大学"), ("institute", "研究院"))[number % 3]
        yield _named("O", number) | {"kind": kind, "name": f"第{number:04}{name}", "region": _region(generator)}


def _profiles(n_profiles: int) -> Iterator[Record]:
    generator = np.random.default_rng([SEED, 11])
    words, titles, pool = keywords(), paper_titles(), sentences()
    for number, text in enumerate(Corpus(n_profiles).texts()):
        kind = str(generator.choice(_KINDS, p=_KIND_SHARES))
        yield _named("P", number) | {
            "kind": kind,
            "name": f"专家{number:06}" if kind == "expert" else f"{generator.choice(words)}{number:06}",
            "summary": text,
            "keywords": list(dict.fromkeys(generator.choice(words, generator.integers(2, 6)).tolist())),
            "region": _region(generator),
            "clusters": _some_cluster(generator),
            "title": "教授" if generator.random() < 0.5 else None,
            "honours": ["中国工程院院士"] if generator.random() < 0.01 else [],
            "capacity": int(generator.integers(1, 6)) if generator.random() < 0.5 else None,
            "organization_external_id": _some_organization(generator) if generator.random() < 0.4 else None,
            "works": [
                {
                    "kind": "paper",
                    "title": str(generator.choice(titles)),
                    "abstract": "".join(generator.choice(pool, 4)) if generator.random() < 0.6 else None,
                    "year": int(generator.integers(2008, 2027)),
                }
                for _ in range(generator.choice(3, p=(0.55, 0.3, 0.15)))
            ],
        }


def _demands(n_demands: int) -> Iterator[Record]:
    """Every tenth has a must-have: the longest word of its title."""
    generator = np.random.default_rng([SEED, 12])
    for number, demand in enumerate(demands(n_demands)):
        words = [term for term in count_terms(demand.title) if not is_ngram(term) and term.isalnum()]
        yield _named("D", number) | {
            "status": "published",
            "title": demand.title,
            "problem": demand.text.removeprefix(f"{demand.title}。") or None,
            "must_have": [max(words, key=len)] if number % 10 == 9 and words else [],
            "region": _region(generator),
            "cluster": str(generator.choice(_CLUSTERS)),
            "organization_external_id": _some_organization(generator),
        }


def _named(letter: str, number: int) -> Record:
    return {"source": "benchmark", "external_id": f"{letter}{number:06}"}


def _some_organization(generator: np.random.Generator) -> str:
    return f"O{generator.integers(_N_ORGANIZATIONS):06}"


def _some_cluster(generator: np.random.Generator) -> list[str]:
    return [str(generator.choice(_CLUSTERS))] if generator.random() < 0.6 else []


def _region(generator: np.random.Generator) -> str:
    return f"{generator.choice(_PROVINCES)}{generator.integers(1, 21):02}{generator.integers(1, 10):02}"


def _index(kept: City) -> None:
    """Build the index where it cannot be loaded, with the encoder that takes means."""

    async def work() -> None:
        database = Database(kept.settings.effective_database_url)
        try:
            engine = Engine.create(
                database,
                MeanEncoder(),
                form=Snapshot,
                snapshots=kept.settings.snapshot_dir,
                weights=kept.settings.weights_dir,
                stability=kept.settings.stability,
            )
            await engine.open()
            if engine.profiles.snapshot.n_pending or engine.demands.snapshot.n_pending:
                await engine.complete()
                for index in (engine.profiles, engine.demands):
                    await index.save()
        finally:
            await database.close()

    asyncio.run(work())


class MeanEncoder:
    """The default encoder, but a text of known sentences gets the mean of their vectors and a little noise."""

    is_available = True

    def __init__(self) -> None:
        self._real = load_encoder("universal")
        self.version = self._real.version
        self.n_dimensions = self._real.n_dimensions
        self.calibration = self._real.calibration
        self._row_of = {sentence: row for row, sentence in enumerate(sentences())}

    @cached_property
    def _vectors(self) -> FloatArray:
        return sentence_vectors()  # costs a quarter of a minute, and an index that can be loaded asks for none

    def encode(
        self, texts: Sequence[str], languages: Sequence[str], *, is_query: bool = False
    ) -> list[FloatArray | None]:
        known = [[row for part in split_sentences(t) if (row := self._row_of.get(part)) is not None] for t in texts]
        others = [place for place, rows in enumerate(known) if not rows]
        encoded = self._real.encode(
            [texts[place] for place in others], [languages[place] for place in others], is_query=is_query
        )
        vectors = dict(zip(others, encoded, strict=True))
        for place, rows in enumerate(known):
            if rows:
                generator = np.random.default_rng(crc32(texts[place].encode()))
                noise = generator.standard_normal(self.n_dimensions) * (_NOISE / np.sqrt(self.n_dimensions))
                mean = self._vectors[rows].mean(axis=0)
                vectors[place] = unit_vector((mean / np.linalg.norm(mean) + noise).astype(np.float32))
        return [vectors[place] for place in range(len(texts))]
