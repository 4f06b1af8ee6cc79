"""``evaluate``, ``fit`` and ``weights`` with the real program, on the sample city."""

import json
import os
import re
from collections.abc import Iterable
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cli.command_lines import FAST, failed_in_both_languages, run_all
from conftest import Cli, run_server

from matching_service import sample
from matching_service.evaluation.compare import MEASURES
from matching_service.evaluation.judgements import read_judgements
from matching_service.matching.weights import CrossValidation, WeightsFile, WeightsStore
from matching_service.ranking.calibrate import LEVEL_NAMES
from matching_service.ranking.encoder import NoEncoder
from matching_service.ranking.fusion import SIGNALS

SAMPLE = ["--demands", str(sample.DEMANDS), "--profiles", str(sample.PROFILES), "--labels", str(sample.RELEVANCE)]
DEFAULT = "default-3-none"
TITLES = {
    row["external_id"]: row["title"] for row in map(json.loads, sample.DEMANDS.read_text(encoding="utf-8").splitlines())
}
IMPORTS = [
    ["migrate"],
    ["import", "organizations", str(sample.ORGANIZATIONS)],
    ["import", "profiles", str(sample.PROFILES)],
    ["import", "demands", str(sample.DEMANDS)],
]
RANKERS = [
    "random", "TfidfVectorizer(jieba.lcut)", "BM25 (jieba)", "lexical only", "semantic only",
    "matching_service, fitted", "matching_service",
]  # fmt: skip
TEXT_STEPS = {
    "user dictionary", "stop words", "synonyms", "words", "characters", "character bigrams", "quantities",
    "rarity among demands", "weight of the title", "dropping of introductions",
}  # fmt: skip
pytestmark = [pytest.mark.apart, pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")]
served = contextmanager(run_server)


def program(folder: Path) -> Cli:
    """The command line with the folder's own database, ranking by words alone."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MATCHING_")}
    return Cli(environment | FAST | {"MATCHING_DATA_DIR": str(folder / "data"), "PYTHONUTF8": "1"})


def city(folder: Path) -> Path:
    for code, _, err in run_all(IMPORTS, folder):
        assert code == 0, err
    return folder


@pytest.fixture(scope="module")
def unfitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sample city, to which nothing is ever fitted."""
    return city(tmp_path_factory.mktemp("unfitted"))


def cells(table: str) -> list[list[str]]:
    """The rows of all printed tables, by their cells."""
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in table.splitlines() if line[:1] == "│"]


def is_interval(text: str) -> bool:
    return re.fullmatch(r"[+-]\d\.\d{4} to [+-]\d\.\d{4}", text) is not None


class TestEvaluate:
    def test_the_service_ranks_the_sample_clearly_better_than_the_baselines(self, tmp_path: Path) -> None:
        done = program(tmp_path).run("evaluate", *SAMPLE, "--json", MATCHING_ENCODER="universal")
        assert done.returncode == 0, done.stderr
        report = json.loads(done.stdout)
        assert report["k"] == 10
        assert report["n_demands"] >= 40
        assert report["n_pairs"] == sum(map(len, read_judgements(sample.RELEVANCE).values()))
        assert list(report["results"]) == RANKERS
        for result in report["results"].values():
            assert set(result["mean"]) == set(MEASURES)
            assert all(0 < mean <= 1 for mean in result["mean"].values())
            assert len(result["per_demand"]["ndcg"]) == report["n_demands"]
        means = {name: result["mean"]["ndcg"] for name, result in report["results"].items()}
        assert means["matching_service"] > means["TfidfVectorizer(jieba.lcut)"] + 0.1
        assert means["matching_service"] > means["BM25 (jieba)"] + 0.08  # the service's own first fives are all judged
        assert means["TfidfVectorizer(jieba.lcut)"] > means["random"] + 0.1
        assert means["matching_service"] == max(
            mean for name, mean in means.items() if name != "matching_service, fitted"
        )
        for name, difference in report["differences"].items():
            assert difference["mean"] == pytest.approx(means["matching_service"] - means[name])
            assert difference["low"] <= difference["mean"] <= difference["high"]
            assert len(difference["worst"]) <= 10
            assert {demand for demand, _ in difference["worst"]} <= set(TITLES)
        assert set(report["differences"]) == set(RANKERS) - {"matching_service"}
        assert set(report["texts"]) == set(read_judgements(sample.RELEVANCE))
        assert all(text.split("\n")[0] == TITLES[demand] for demand, text in report["texts"].items())
        levels = [
            sum(grade * n for grade, n in enumerate(counts)) / sum(counts)
            for counts in report["grades_by_level"].values()
            if sum(counts)
        ]
        assert (levels[0], levels[-1]) == (max(levels), min(levels))  # the two between are close, and works age
        assert report["ablations"] == {}
        assert not (tmp_path / "data").exists()  # files in, numbers out

    def test_tables_and_ablation(self, tmp_path: Path) -> None:
        done = program(tmp_path).run("evaluate", *SAMPLE, "--ablation")
        assert done.returncode == 0, done.stderr
        assert f"weights {DEFAULT}" in done.stdout.splitlines()[0]
        assert all(f" {name} " in done.stdout for name in ("ndcg@10", "map", "mrr", "recall@10", "pairwise"))
        rows = cells(done.stdout)
        rankers = [row for row in rows if len(row) == 8]
        assert [row[0] for row in rankers] == [name for name in RANKERS if name != "semantic only"]
        for row in rankers:
            assert all(0 < float(mean) <= 1 for mean in row[1:6])
        assert all(is_interval(row[7]) for row in rankers[:-1])
        assert rankers[-1][6:] == ["", ""]
        levels = [row for row in rows if len(row) == 7 and row[1] in LEVEL_NAMES]
        assert [row[1] for row in levels] == ["strong", "related", "weak", "none"]
        places = {row[0]: row[1:] for row in rows if len(row) == 7 and row[0] in {"all", "expert"}}
        assert list(places) == ["all", "expert"]
        assert [share[0] for share in places.values()] == ["21%", "36%"]
        assert all(row[-1].isdecimal() for row in places.values())
        reliability = [row for row in rows if len(row) == 6 and row[1] in LEVEL_NAMES]
        assert {"zh", "en", "others"} <= {row[0] for row in reliability}
        ablated = {row[0]: row for row in rows if len(row) == 4}
        assert set(ablated) == {f"signal {signal}" for signal in SIGNALS} | {f"text: {step}" for step in TEXT_STEPS}
        assert all(is_interval(row[3]) for row in ablated.values())
        assert float(ablated["signal lexical"][2]) < -0.1
        worst = re.findall(r"^(-0\.\d{3}) (\S+) (.*)$", done.stdout, re.MULTILINE)
        assert len(worst) == 10
        assert all(TITLES[demand] == title for _, demand, title in worst)
        assert [float(loss) for loss, _, _ in worst] == sorted(float(loss) for loss, _, _ in worst)

    def test_another_ranker_may_be_compared_with_and_an_unknown_one_is_wrong_use(self, tmp_path: Path) -> None:
        files = {
            "d.jsonl": [{"external_id": f"d{n}", "title": f"{word}难题"} for n, word in enumerate("钢铜铝")],
            "p.jsonl": [
                {"external_id": f"p{n}", "name": f"甲{n}", "kind": "expert", "summary": f"{word}研究"}
                for n, word in enumerate("钢铜铝")
            ],
        }
        for name, rows in files.items():
            (tmp_path / name).write_text("\n".join(json.dumps(row) for row in rows))
        judged = [f"d{d}\tp{p}\t{3 * (d == p)}" for d in range(3) for p in range(3)]
        (tmp_path / "l.tsv").write_text("\n".join(["demand\tprofile\tgrade", *judged]))
        command = ["evaluate", "--demands", "d.jsonl", "--profiles", "p.jsonl", "--labels", "l.tsv"]
        known, unknown, unread = run_all(
            [
                [*command, "--against", "BM25 (jieba)"],
                [*command, "--against", "nobody"],
                [*command[:-1], "missing.tsv"],
            ],
            tmp_path,
        )
        assert known[0] == 0, known[2]
        assert "worst demands against BM25 (jieba)" in known[1]
        assert "matching_service, fitted" not in known[1]  # three demands say nothing about weights
        assert (unknown[0], unknown[1]) == (2, "")
        assert "--against" in unknown[2]
        assert "BM25" in unknown[2]
        assert unread[0] == 1
        assert "missing.tsv" in unread[2]


def labels(path: Path, lines: Iterable[str]) -> str:
    path.write_text("\n".join(["demand\tprofile\tgrade", *lines]), encoding="utf-8")
    return str(path)


class TestFit:
    def test_from_labels_to_lists(self, tmp_path: Path) -> None:
        """Fit, look, activate where it is better, rank, and find the version in everything that was stored."""
        cli = program(city(tmp_path))
        fitted = cli.run("fit", "--labels", str(sample.RELEVANCE), "--json")
        assert fitted.returncode == 0, fitted.stderr
        file = json.loads(fitted.stdout)
        version, measured = file["version"], file["cross_validation"]
        assert (file["n_demands"], set(file["values"])) == (80, set(SIGNALS))
        assert measured["compared_with"] == DEFAULT
        assert measured["low"] <= measured["difference"] <= measured["high"]
        assert json.loads((tmp_path / "data" / "weights" / f"{version}.json").read_text()) == file

        listed = cli.run("weights", "list", "--json")
        assert [(row["version"], row["active"]) for row in json.loads(listed.stdout)] == [
            (DEFAULT, True),
            (version, False),
        ]
        assert json.loads(listed.stdout)[1]["low"] == pytest.approx(measured["low"], abs=1e-4)
        table = cells(cli.run("weights", "list").stdout)
        assert [row[:2] for row in table] == [[DEFAULT, "True"], [version, "False"]]
        shown = cli.run("weights", "show", version, "--json")
        assert json.loads(shown.stdout) == {name: file[name] for name in ("version", "values", "floors")}
        assert json.loads(cli.run("weights", "show", "--json").stdout)["version"] == DEFAULT
        shown = cli.run("weights", "show", version)
        assert shown.stdout.startswith(version)
        assert [row[0] for row in cells(shown.stdout) if len(row) == 2] == list(SIGNALS)

        activated = cli.run("weights", "activate", version)
        is_better = measured["low"] > 0
        in_force = version if is_better else DEFAULT
        if is_better:
            assert (activated.returncode, activated.stdout) == (0, f"{DEFAULT} -> {version}\n"), activated.stderr
        else:
            assert failed_in_both_languages(activated), activated.stderr
            assert f"{measured['low']:+.4f}" in activated.stderr
        assert json.loads(cli.run("weights", "show", "--json").stdout)["version"] == in_force

        ranked = cli.run("rerank", "--json")
        assert ranked.returncode == 0, ranked.stderr
        run_id = json.loads(ranked.stdout)["id"]
        target = tmp_path / "matches.jsonl"
        assert cli.run("export", "matches", str(target)).returncode == 0
        exported = [json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()]
        assert {row["run_id"] for row in exported} == {run_id}
        url = f"sqlite+aiosqlite:///{tmp_path / 'data' / 'matching.sqlite3'}"
        beside = Cli(cli.environment | {"MATCHING_DATABASE_URL": url})
        with served("sqlite", beside, tmp_path) as server, server.client() as http:
            body = {"demand_id": exported[0]["demand_id"]}
            stored = http.get(f"/v1/demands/{body['demand_id']}/matches").json()
            assert stored["weights_version"] == in_force
            assert http.get(f"/v1/match-runs/{run_id}").json()["weights_version"] == in_force
            assert http.post("/v1/matches", json=body).json()["weights_version"] == in_force
            back = cli.run("weights", "activate", DEFAULT)
            assert (back.returncode, back.stdout) == (0, f"{in_force} -> {DEFAULT}\n"), back.stderr
            assert http.post("/v1/matches", json=body).json()["weights_version"] == DEFAULT  # without a restart
            assert http.get(f"/v1/demands/{body['demand_id']}/matches").json() == stored  # what was shown stays

    def test_it_says_what_is_gained_and_puts_in_force_what_is_better(self, tmp_path: Path) -> None:
        cli = program(city(tmp_path))
        done = cli.run("fit", "--labels", str(sample.RELEVANCE), "--activate")
        (path,) = (tmp_path / "data" / "weights").glob("fit-*.json")
        file = json.loads(path.read_text())
        measured = file["cross_validation"]
        active = json.loads(cli.run("weights", "show", "--json").stdout)["version"]
        if measured["low"] > 0:
            assert done.returncode == 0, done.stderr
            text = re.sub(r"\s+", " ", done.stdout)
            assert f"ndcg@10 {DEFAULT} {measured['present']:.4f} → {measured['fitted']:.4f}" in text
            assert f"({measured['low']:+.4f} to {measured['high']:+.4f})" in text
            assert [row[0] for row in cells(done.stdout)] == list(SIGNALS)
            assert active == file["version"]
        else:
            assert failed_in_both_languages(done), done.stderr
            assert f"{measured['low']:+.4f}" in done.stderr
            assert active == DEFAULT

    def test_labels_that_cannot_be_used_are_named_and_nothing_is_written(self, unfitted: Path) -> None:
        judged = sample.RELEVANCE.read_text(encoding="utf-8").splitlines()[1:]
        few = list(dict.fromkeys(line.split("\t")[0] for line in judged))[:29]
        twin = {"external_id": "E-ZB-01", "source": "other", "kind": "expert", "name": "另一人"}
        (unfitted / "twin.jsonl").write_text(json.dumps(twin))
        cases: list[tuple[str, list[str]]] = [
            ("D-NOBODY", [*judged, "D-NOBODY\tE-ZB-01\t1"]),
            ("E-NOBODY", [*judged, "D-ZB-01\tE-NOBODY\t1"]),
            ("grade 2", [f"{line[:-1]}2" for line in judged]),
            ("Only 29 demands", [line for line in judged if line.split("\t")[0] in few]),
            ("line 5", [*judged[:3], "D-ZB-01 E-ZB-01 3", *judged[3:]]),
            ("line 5", [*judged[:3], "D-ZB-01\tE-ZB-01\t4", *judged[3:]]),
            (f"line {len(judged) + 2}", [*judged, f"{judged[0][:-1]}0"]),
            ("no judgement with a grade above 0", []),
            ("E-ZB-01", judged),  # after the twin came in
        ]
        commands = [
            ["fit", "--json", "--labels", labels(unfitted / f"{place}.tsv", lines)]
            for place, (_, lines) in enumerate(cases)
        ]
        commands.append(["fit", "--labels", str(unfitted / "missing.tsv")])
        commands.insert(len(cases) - 1, ["import", "profiles", str(unfitted / "twin.jsonl")])
        results = run_all(commands, unfitted)
        assert results.pop(len(cases) - 1)[0] == 0
        for (named, _), (code, out, err) in zip([*cases, ("missing.tsv", [])], results, strict=True):
            assert (code, out) == (1, ""), (named, err)
            assert named in err
            assert "Error:" in err
            assert "Traceback" not in err
        assert not (unfitted / "data" / "weights").exists()

    def test_without_a_database_nothing_is_made(self, tmp_path: Path) -> None:
        ((code, out, err),) = run_all([["fit", "--labels", str(sample.RELEVANCE)]], tmp_path)
        assert (code, out) == (1, "")
        assert "matching-service migrate" in err
        assert not (tmp_path / "data" / "weights").exists()


class TestWeights:
    @staticmethod
    def fabricate(folder: Path, version: str, **measured: Any) -> None:
        numbers = {"present": 0.7, "fitted": 0.8, "difference": 0.1, "low": 0.05, "high": 0.15, "p_not_better": 0.0}
        body = {"measure": "ndcg@10", "compared_with": DEFAULT} | numbers | measured
        WeightsStore(folder / "data" / "weights", NoEncoder()).save(
            WeightsFile(
                version=version, created_at=datetime(2026, 11, 1, tzinfo=UTC), encoder="none", lexicon="any",
                values=dict.fromkeys(SIGNALS, 0.1), floors={"strong": 0.6, "related": 0.4, "weak": 0.2},
                n_demands=40, n_pairs=400, labels_sha256="0" * 64, cross_validation=CrossValidation(**body),
            )
        )  # fmt: skip

    def test_only_what_is_better_than_what_is_in_force_is_activated(self, tmp_path: Path) -> None:
        self.fabricate(tmp_path, "good")
        self.fabricate(tmp_path, "better", compared_with="good")
        self.fabricate(tmp_path, "worse", low=-0.02)
        tries = [["weights", "activate", version] for version in ("nobody", "worse", "better", "good", "better")]
        nobody, worse, early, good, better = run_all(tries, tmp_path)
        for (code, out, err), named in ((nobody, "nobody"), (worse, "-0.0200"), (early, "fit again")):
            assert (code, out) == (1, "")
            assert named in err
            assert re.search("[\u4e00-\u9fff]", err)
        assert good == (0, f"{DEFAULT} -> good\n", "")
        assert better == (0, "good -> better\n", "")
        (_, listed, _), (_, shown, _), (code, out, err) = run_all(
            [["weights", "list", "--json"], ["weights", "show"], ["weights", "activate", DEFAULT]], tmp_path
        )
        assert {row["version"]: row["active"] for row in json.loads(listed)} == {
            DEFAULT: False, "good": False, "better": True, "worse": False,
        }  # fmt: skip
        assert shown.startswith("better\n")
        assert [row[1:] for row in cells(shown) if len(row) == 3] == [
            ["strong", "0.6"], ["related", "0.4"], ["weak", "0.2"],
        ]  # fmt: skip
        assert (code, out, err) == (0, f"better -> {DEFAULT}\n", "")

    def test_what_cannot_be_used_is_said_with_its_reason(self, tmp_path: Path) -> None:
        self.fabricate(tmp_path, "good")
        folder = tmp_path / "data" / "weights"
        (folder / "ACTIVE").write_text("gone")
        (shown,) = run_all([["weights", "show", "--json"]], tmp_path)
        assert (shown[0], json.loads(shown[1])["version"]) == (0, DEFAULT)
        assert "gone does not exist" in shown[2]
        (folder / "good.json").write_text("{")
        for code, out, err in run_all([["weights", "list"], ["weights", "show", "good"]], tmp_path):
            assert (code, out) == (1, "")
            assert "good.json" in err

    def test_looking_writes_nothing(self, tmp_path: Path) -> None:
        for code, _, err in run_all([["weights", "list"], ["weights", "show"]], tmp_path):
            assert (code, err) == (0, "")
        assert not (tmp_path / "data").exists()
