"""``fit``: fit weights to judged pairs of stored demands and profiles, and cross-validate their gain."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from anyio import to_thread
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.evaluation.compare import Difference, compare, evaluate
from matching_service.evaluation.fit import cross_validate, fit_weights, pair_scorer
from matching_service.evaluation.judgements import MIN_DEMANDS, Judgements, read_judgements, require_fittable
from matching_service.foundation.clock import now, today
from matching_service.foundation.errors import Bilingual, InvalidInput
from matching_service.live_index.documents import demand_query
from matching_service.matching.engine import Engine
from matching_service.matching.weights import CrossValidation, WeightsFile
from matching_service.quality.judged import judged_pairs
from matching_service.ranking.prepare import prepare
from matching_service.ranking.structured import Circumstances
from matching_service.store.demands import DemandRow
from matching_service.store.lookup import get_by_ids
from matching_service.store.profiles import ProfileRow
from matching_service.text.lexicon import default_lexicon

K = 10
_KEYS_PER_QUERY = 500


@dataclass(frozen=True, slots=True)
class FitReport:
    """A new version of the weights, and its gain over the active one on held-out demands."""

    file: WeightsFile
    path: Path
    difference: Difference
    titles: Mapping[str, str]


async def fit(engine: Engine, labels: Path) -> FitReport:
    """Fit weights to judged pairs and write them as a new version. It is not activated.

    Labels name demands and profiles by id or external id. Raises InvalidInput for unusable labels: unknown or
    ambiguous ids, a single grade, too few demands.
    """
    judgements, checksum = await to_thread.run_sync(_read, labels)
    require_fittable(judgements)
    view = await engine.view()
    async with engine.database.reading() as session:
        demand_ids = await _ids(session, DemandRow, list(judgements), labels)
        named = list(dict.fromkeys(profile for judged in judgements.values() for profile in judged))
        profile_ids = await _ids(session, ProfileRow, named, labels)
        demands = await get_by_ids(session, DemandRow, demand_ids.values())
    by_id = _by_id(judgements, demand_ids, profile_ids, labels)
    prepared = {
        demand_id: prepare(demand_query(demands[demand_id]), engine.encoder, demand_frequencies=view.demand_frequencies)
        for demand_id in by_id
    }
    # No standings: later decisions of people depend on the same judgements and would leak the labels.
    pairs = judged_pairs(by_id, prepared, view.snapshot, Circumstances(today()))
    if (n_distinct := len(set(pairs.groups.values()))) < MIN_DEMANDS:
        message = Bilingual(
            f"{labels.name} 中只有 {n_distinct} 条内容不同的需求，至少需要 {MIN_DEMANDS} 条。",
            f"{labels.name} has only {n_distinct} demands with different texts; at least {MIN_DEMANDS} are needed.",
        )
        raise InvalidInput("too_few_demands", message)
    version = f"fit-{now():%Y%m%d-%H%M%S}-{checksum[:6]}"
    weights = fit_weights(pairs, view.weights, version=version)
    present = evaluate(view.weights.version, pair_scorer(pairs, pairs.scores(view.weights)), by_id, k=K)
    held_out_scores = cross_validate(pairs, view.weights, fitted=True).scores
    fitted = evaluate(version, pair_scorer(pairs, held_out_scores), by_id, k=K)
    difference = compare(present, fitted)
    file = WeightsFile(
        version=version,
        created_at=now(),
        encoder=engine.encoder.version,
        lexicon=default_lexicon().version,
        values=dict(weights.values),
        floors={"strong": weights.floors.strong, "related": weights.floors.related, "weak": weights.floors.weak},
        n_demands=difference.n_demands,
        n_pairs=len(pairs.grades),
        labels_sha256=checksum,
        cross_validation=CrossValidation.of(
            difference,
            k=K,
            compared_with=view.weights.version,
            present=present.mean("ndcg"),
            fitted=fitted.mean("ndcg"),
        ),
    )
    titles = {demand_id: demand.title for demand_id, demand in demands.items()}
    return FitReport(file, engine.weights.save(file), difference, titles)


def _read(labels: Path) -> tuple[Judgements, str]:
    return read_judgements(labels), sha256(labels.read_bytes()).hexdigest()


def _by_id(
    judgements: Judgements, demand_ids: Mapping[str, str], profile_ids: Mapping[str, str], labels: Path
) -> Judgements:
    """Return the judgements by our ids. Raises InvalidInput if a pair occurs twice with different grades."""
    by_id: dict[str, dict[str, int]] = {}
    for demand, judged in judgements.items():
        for profile, grade in judged.items():
            if by_id.setdefault(demand_ids[demand], {}).setdefault(profile_ids[profile], grade) != grade:
                message = Bilingual(
                    f"{labels.name} 中 {demand} 与 {profile} 以两种编号出现，等级不同。",
                    f"{labels.name} contains the pair {demand} and {profile} under two ids with different grades.",
                )
                raise InvalidInput("bad_judgement", message)
    return by_id


async def _ids(
    session: AsyncSession, table: type[DemandRow | ProfileRow], keys: list[str], labels: Path
) -> dict[str, str]:
    """Return the id for each key of the labels. Raises InvalidInput, naming the keys without an id or with several."""
    ids_by_key: dict[str, set[str]] = {key: set() for key in keys}
    for start in range(0, len(keys), _KEYS_PER_QUERY):
        chunk = keys[start : start + _KEYS_PER_QUERY]
        columns: tuple[Any, ...] = (table.id, table.external_id)
        for row in await session.execute(select(*columns).where(table.id.in_(chunk) | table.external_id.in_(chunk))):
            for key in (row.id, row.external_id):
                if key in ids_by_key:
                    ids_by_key[key].add(row.id)
    noun = Bilingual("需求", "demands") if table is DemandRow else Bilingual("画像", "profiles")
    if unknown := [key for key, ids in ids_by_key.items() if not ids]:
        examples = ", ".join(unknown[:5])
        message = Bilingual(
            f"{labels.name} 中有 {len(unknown)} 个{noun.zh}编号不在数据库中，如 {examples}。",
            f"{len(unknown)} {noun.en} of {labels.name} are not in the database, for example {examples}.",
        )
        raise InvalidInput("unknown_labels", message)
    if ambiguous := [key for key, ids in ids_by_key.items() if len(ids) > 1]:
        examples = ", ".join(ambiguous[:5])
        message = Bilingual(
            f"{labels.name} 中有 {len(ambiguous)} 个{noun.zh}编号对应多条记录（不同来源），如 {examples}；"
            "请改用本系统编号。",
            f"{len(ambiguous)} {noun.en} of {labels.name} match several records, for example {examples}; use their "
            "ids instead.",
        )
        raise InvalidInput("ambiguous_labels", message)
    return {key: next(iter(ids)) for key, ids in ids_by_key.items()}
