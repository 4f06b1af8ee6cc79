"""How fast are Chinese texts cut and analysed, beside jieba, and are the tokens the same?

Real texts from ``../shared/data`` where that folder is, else those of the sample city. Both engines have the lexicon
that ships with the service and no hidden Markov model, get the same texts, and take turns in one process.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from statistics import median
from time import perf_counter
from typing import Any

import jieba

from benchmarks.quality import DATA
from matching_service import sample
from matching_service.evaluation.baselines import plain_tokenizer
from matching_service.text.lexicon import Lexicon, default_lexicon
from matching_service.text.normalise import fold
from matching_service.text.segment import Segmenter, han_runs, is_chinese, jieba_with
from matching_service.text.terms import Analyzer

ROUNDS = 5
FASTER = 10
PASSAGE = 300
SAMPLE = [sample.DEMANDS, sample.PROFILES]
MICROSECONDS = {"count_terms": 150, "find_terms": 250}


def run() -> list[dict[str, object]]:
    """Jieba's search mode beside jieba; whole texts as the service cuts them, also beside it; the analysis."""
    texts = [fold(text) for text in chinese_texts()]
    runs = [[run.group() for run in han_runs(text)] for text in texts]
    lexicon = default_lexicon()
    peer, engine, segmenter = jieba_of(lexicon), jieba_with(lexicon), Segmenter(lexicon)

    def peer_tokens(runs: list[str]) -> list[Any]:
        return [list(peer.tokenize(run, mode="search", HMM=False)) for run in runs]

    def tokens(runs: list[str]) -> list[Any]:
        return [engine.tokenize(run, "search", False) for run in runs]

    n_different = sum(tokens(of_text) != peer_tokens(of_text) for of_text in runs)
    search = compare(tokens, peer_tokens, runs, n_characters=sum(len(run) for of_text in runs for run in of_text))
    whole = compare(
        segmenter.cut, lambda text: list(peer.cut(text, HMM=False)), texts, n_characters=sum(map(len, texts))
    )
    return [
        search
        | {
            "question": "segmentation of Chinese, search mode",
            "target": f">= {FASTER}, the same tokens",
            "reached": search["ratio"] >= FASTER and not n_different,
            "texts with other tokens": n_different,
        },
        whole | {"question": "segmentation of whole texts, as the service does it"},
        *analysis(lexicon),
    ]


def compare(
    ours: Callable[[Any], object], theirs: Callable[[Any], object], texts: Sequence[Any], *, n_characters: int
) -> dict[str, Any]:
    """Speeds, the median over the rounds, and their ratio."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for turn in range(ROUNDS):
        for which in (0, 1) if turn % 2 == 0 else (1, 0):
            seconds[which].append(_seconds((ours, theirs)[which], texts))
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


def _seconds(work: Callable[[Any], object], items: Sequence[Any]) -> float:
    started = perf_counter()
    for item in items:
        work(item)
    return perf_counter() - started
