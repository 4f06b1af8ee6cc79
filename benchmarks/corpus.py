"""Profiles of any number, made by recombining the sentences of the sample city with a fixed seed."""

import json
import random
import re

from matching_service import sample


def sentences() -> list[str]:
    """Every sentence of the sample's Chinese profiles and works."""
    found: list[str] = []
    for line in sample.PROFILES.read_text(encoding="utf-8").splitlines():
        profile = json.loads(line)
        if profile.get("language", "zh") != "zh":
            continue
        texts = [
            profile.get("summary", ""),
            *(work.get("abstract") or work["title"] for work in profile.get("works", [])),
        ]
        found += [part for text in texts for part in re.split(r"(?<=[。；])", text) if len(part) > 5]
    return found


def make_texts(n_texts: int, *, seed: int = 20261123) -> list[str]:
    """``n_texts`` texts of 2 to 6 sentences, each with a few rare pseudo-words for a realistic tail."""
    generator, pool = random.Random(seed), sentences()
    texts = []
    for _ in range(n_texts):
        parts = generator.choices(pool, k=generator.randint(2, 6))
        rare = [f"x{int(generator.paretovariate(0.8)) % 50_000}" for _ in range(3)]
        texts.append("".join(parts) + " ".join(rare))
    return texts


def demand_titles() -> list[str]:
    lines = sample.DEMANDS.read_text(encoding="utf-8").splitlines()
    return [f"{row['title']} {row.get('problem') or ''}" for row in map(json.loads, lines)]
