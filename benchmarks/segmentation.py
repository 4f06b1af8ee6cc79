"""How fast are Chinese texts cut and analysed, beside jieba, and are the tokens the same?

Real texts from ``../shared/data`` where that folder is, else those of the sample city. Both engines have the lexicon
that ships with the service and no hidden Markov model, get the same texts, and take turns in one process.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import jieba

from matching_service import sample
from matching_service.evaluation.baselines import plain_tokenizer
from matching_service.text.lexicon import Lexicon, default_lexicon
from matching_service.text.normalise import fold
from matching_service.text.terms import Analyzer
from matching_service.text.tokenizer import Tokenizer, han_runs, is_chinese, jieba_with

DATA = Path(__file__).parents[2] / "shared" / "data"
ROUNDS = 5
FASTER = 10
PASSAGE = 300
SAMPLE = [sample.DEMANDS, sample.PROFILES]
MICROSECONDS = {"count_terms": 150, "find_terms": 250}


def run() -> list[dict[str, object]]:
    """Jieba's search mode beside jieba; whole texts as the service cuts them, also beside it; the analysis."""
    texts = [fold(text) for text in chinese_texts()]
    lexicon = default_lexicon()
    peer, engine, tokenizer = jieba_of(lexicon), jieba_with(lexicon), Tokenizer(lexicon)

    def tokens(text: str) -> list[tuple[str, int, int]]:
        return engine.tokenize(text, "search", False)

    def peer_tokens(text: str) -> list[tuple[str, int, int]]:
        return list(peer.tokenize(text, mode="search", HMM=False))

    n_different = sum(tokens(text) != peer_tokens(text) for text in texts)
    search = compare(tokens, peer_tokens, texts)
    pieces = compare(tokenizer.cut, lambda text: list(peer.cut(text, HMM=False)), texts)
    return [
        search
        | {
            "question": "segmentation, search mode",
            "target": f">= {FASTER} x, the same tokens",
            "reached": search["ratio"] >= FASTER and not n_different,
            "texts with other tokens": n_different,
        },
        pieces | {"question": "segmentation as the service does it, with rules of its own for Latin and numbers"},
        *analysis(lexicon),
    ]


def compare(ours: Callable[[str], object], theirs: Callable[[str], object], texts: Sequence[str]) -> dict[str, Any]:
    """Speeds, the median over the rounds, and their ratio."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for turn in range(ROUNDS):
        for which in (0, 1) if turn % 2 == 0 else (1, 0):
            seconds[which].append(_seconds((ours, theirs)[which], texts))
    n_characters = sum(map(len, texts))
    speed, peer_speed = (n_characters / median(taken) / 1e6 for taken in seconds)
    return {
        "size": f"{len(texts):,} texts, {n_characters:,} characters",
        "unit": "Mchar/s",
        "ours_p50": speed,
        "peer": "jieba",
        "peer_p50": peer_speed,
        "ratio": speed / peer_speed,
    }


def analysis(lexicon: Lexicon) -> Iterator[dict[str, object]]:
    """Passages of one length, when each was met before; the notes tell what the first time costs."""
    passages = [text[:PASSAGE] for text in chinese_texts() if len(text) >= PASSAGE]
    for name, at_most in MICROSECONDS.items():
        analyse = getattr(Analyzer(lexicon), name)
        taken = [_seconds(analyse, passages) / len(passages) * 1e6 for _ in range(ROUNDS + 1)]
        yield {
            "question": f"{name} of {PASSAGE} characters",
            "size": f"{len(passages):,} passages",
            "unit": "µs",
            "ours_p50": median(taken[1:]),
            "target": f"<= {at_most} µs",
            "reached": median(taken[1:]) <= at_most,
            "notes": f"{taken[0]:.0f} µs when all words are new",
        }


def jieba_of(lexicon: Lexicon) -> jieba.Tokenizer:
    """A jieba with the lexicon's words, added by its own code."""
    tokenizer = plain_tokenizer()
    for word, frequency in lexicon.user_words.items():
        if is_chinese(word):
            tokenizer.add_word(word, frequency)
    for word in sorted({*lexicon.canonical, *lexicon.stop_words}):
        if is_chinese(word) and not tokenizer.FREQ.get(word):
            tokenizer.add_word(word, max(3, tokenizer.suggest_freq(word)))
    return tokenizer


def chinese_texts() -> list[str]:
    files = [DATA / f"{name}.jsonl" for name in ("demands", "papers", "achievements")] if DATA.exists() else SAMPLE
    rows = [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    for row in rows:
        row["title_words"] = "".join(row.get("title_words", []))  # titles that somebody has cut already
    return list(dict.fromkeys(text for text in _strings(rows) if next(han_runs(text), None)))


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _strings(part)


def _seconds(work: Callable[[str], object], items: Sequence[str]) -> float:
    started = perf_counter()
    for item in items:
        work(item)
    return perf_counter() - started
