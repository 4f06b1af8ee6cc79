"""Reading and writing files: encodings, broken bytes, headings, and formulas that must stay texts."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from openpyxl import Workbook, load_workbook
from openpyxl.utils.escape import unescape

from matching_service.demands.schemas import DemandImport
from matching_service.files.formats import FORMATS, open_writer
from matching_service.files.headings import FORMS
from matching_service.files.records import FileRow, open_contents, read_rows
from matching_service.files.texts import guard_formula, unguard_formula
from matching_service.foundation.errors import InvalidInput

DEMANDS = FORMS["demands"]
PROFILES = FORMS["profiles"]
TABLE = "名称,主要问题,关键词\r\n柔轮开裂,齿根疲劳,柔轮；疲劳\r\n窑炉降耗,烟气余热,窑炉\r\n"
ENCODINGS = ["utf-8", "utf-8-sig", "gb18030", "utf-16", "utf-16-le-bom", "utf-16-be-bom"]
AWKWARD = [
    "=1+1", "+1", "-1", "@SUM(A1)", "'=1", "''=1", "'", "'a", "\t=1", '"quoted"', "a,b", "两行\n文字", "a;b；c、d",
    "emoji 🤖 𠮷", "007", "1e5", "2026-01-02", "TRUE", "#N/A", "null", "[1]", "{}", "_x000D_", " 前后有空格 ", "<b>&amp;",
]  # fmt: skip


def read(path: Path, what: str = "demands") -> list[FileRow]:
    return list(read_rows(path, FORMS[what]))


def encoded(text: str, encoding: str) -> bytes:
    if encoding == "utf-16-le-bom":
        return b"\xff\xfe" + text.encode("utf-16-le")
    if encoding == "utf-16-be-bom":
        return b"\xfe\xff" + text.encode("utf-16-be")
    return text.encode(encoding)


def workbook(path: Path, *rows: list[Any]) -> Path:
    book = Workbook()
    for row in rows:
        book.worksheets[0].append(row)
    book.save(path)
    return path


@pytest.mark.parametrize("name", ["a.pdf", "a", "a.doc", "a.csv.bak"])
def test_an_unknown_format_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("title\n")
    for use in (lambda path: read_rows(path, DEMANDS), lambda path: open_writer(path, ["title"])):
        with pytest.raises(InvalidInput) as refused:
            use(tmp_path / name)
        assert refused.value.code == "unknown_format"


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_missing_file_is_refused(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_rows(tmp_path / f"missing{suffix}", DEMANDS)
    assert refused.value.code == "no_such_file"


def test_a_file_that_is_no_workbook_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.xlsx").write_text("title\n")
    with pytest.raises(InvalidInput) as refused:
        read(tmp_path / "a.xlsx")
    assert refused.value.code == "not_a_workbook"


@pytest.mark.parametrize("suffix", FORMATS)
def test_an_empty_file_has_no_rows(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    if suffix == ".xlsx":
        workbook(path)
    else:
        path.write_bytes(b"")
    assert read(path) == []


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_csv_in_any_encoding_of_an_office(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(encoded(TABLE, encoding))
    assert read(path) == [
        FileRow(2, {"title": "柔轮开裂", "problem": "齿根疲劳", "keywords": ["柔轮", "疲劳"]}),
        FileRow(3, {"title": "窑炉降耗", "problem": "烟气余热", "keywords": ["窑炉"]}),
    ]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".JSONL"])
def test_json_lines_in_any_encoding_of_an_office(tmp_path: Path, encoding: str, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(encoded('{"title": "柔轮开裂", "keywords": ["柔、轮"]}\r\n\r\n{"需求名称": "窑炉"}', encoding))
    assert read(path) == [FileRow(1, {"title": "柔轮开裂", "keywords": ["柔、轮"]}), FileRow(3, {"title": "窑炉"})]


def with_broken_line(lines: list[str], broken: int, encoding: str) -> bytes:
    data = [line.encode(encoding) for line in lines]
    data[broken - 1] = data[broken - 1][:-3] + b"\xff" + data[broken - 1][-3:]
    return b"\n".join(data)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("n_lines", [3, 10])
def test_one_broken_byte_costs_one_json_line(tmp_path: Path, encoding: str, n_lines: int) -> None:
    path = tmp_path / "a.jsonl"
    lines = [json.dumps({"title": f"柔轮开裂{n}"}, ensure_ascii=False) for n in range(n_lines)]
    bom = b"\xef\xbb\xbf" if encoding == "utf-8-sig" else b""
    path.write_bytes(bom + with_broken_line(lines, 2, "utf-8"))
    rows = read(path)
    assert [row.line for row in rows if row.error] == [2]
    assert [row.values for row in rows if row.values] == [{"title": f"柔轮开裂{n}"} for n in range(n_lines) if n != 1]


def test_one_broken_byte_costs_one_csv_line(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(with_broken_line(["title,problem", *(f"柔轮开裂{n},齿根疲劳" for n in range(5))], 3, "utf-8"))
    rows = read(path)
    assert [row.line for row in rows if row.error] == [3]
    assert [row.values["title"] for row in rows if row.values] == [f"柔轮开裂{n}" for n in (0, 2, 3, 4)]


@pytest.mark.parametrize("broken", [2, 3, 4], ids=["opening-quote", "middle", "closing-quote"])
def test_a_broken_byte_inside_a_cell_of_several_lines_costs_that_row_only(tmp_path: Path, broken: int) -> None:
    path = tmp_path / "a.csv"
    lines = ["title,problem", '甲需求,"第一行文字', "第二行，文字", '第三行文字"', "乙需求,齿根疲劳", "丙需求,烟气余热"]
    path.write_bytes(with_broken_line(lines, broken, "utf-8"))
    rows = read(path)
    assert [row.line for row in rows if row.error] == [2]
    assert [row.values for row in rows if row.values] == [
        {"title": "乙需求", "problem": "齿根疲劳"},
        {"title": "丙需求", "problem": "烟气余热"},
    ]


def test_a_byte_order_mark_settles_the_encoding(tmp_path: Path) -> None:
    """Our own exports have one; without heeding it, the only Chinese line would be read as GB18030 nonsense."""
    path = tmp_path / "a.csv"
    path.write_bytes(b"\xef\xbb\xbf" + with_broken_line(["title", "柔轮开裂", "plain"], 2, "utf-8"))
    rows = read(path)
    assert [(row.line, row.error is not None) for row in rows] == [(2, True), (3, False)]


def test_a_broken_byte_in_gb18030_costs_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    lines = [line.encode("gb18030") for line in ["名称", *(f"柔轮开裂{n}" for n in range(5))]]
    lines[2] += b"\xff"
    path.write_bytes(b"\n".join(lines))
    rows = read(path)
    assert [row.line for row in rows if row.error] == [3]
    assert len([row for row in rows if row.values]) == 4


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[1]",
        '"text"',
        "null",
        '{"title": "a"}{"title": "b"}',
        "[" * 100_000,
        '{"funding_wan": ' + "1" * 5_000 + "}",
    ],
    ids=["cut", "list", "string", "null", "two", "deep", "long-number"],
)
def test_a_line_that_is_no_json_object_costs_itself_only(tmp_path: Path, line: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(f'{line}\n{{"title": "b"}}\n', encoding="utf-8")
    first, second = read(path)
    assert first.line == 1
    assert first.values is None
    assert first.error is not None
    assert second == FileRow(2, {"title": "b"})


@pytest.mark.parametrize("suffix", [".csv", ".xlsx"])
def test_an_unknown_column_is_passed_over_and_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    if suffix == ".csv":
        path.write_text("名称,联系电话,tittle\n甲,1,b\n", encoding="utf-8")
    else:
        workbook(path, ["名称", "联系电话", "tittle"], ["甲", 1, "b"])
    contents = open_contents(path, DEMANDS)
    assert [row.values for row in contents.rows()] == [{"title": "甲"}]
    assert [(finding.code, finding.heading) for finding in contents.findings] == [
        ("column_not_read", "联系电话"),
        ("column_not_read", "tittle"),
    ]


@pytest.mark.parametrize("suffix", [".csv", ".xlsx"])
def test_two_columns_of_one_meaning_are_refused(tmp_path: Path, suffix: str) -> None:
    """One of the two cells would be lost without a word."""
    path = tmp_path / f"a{suffix}"
    if suffix == ".csv":
        path.write_text("名称,title\n甲,乙\n", encoding="utf-8")
    else:
        workbook(path, ["名称", "title"], ["甲", "乙"])
    with pytest.raises(InvalidInput):
        read(path)


@pytest.mark.parametrize("suffix", [".csv", ".xlsx"])
def test_a_cell_beyond_the_headings_is_not_lost_silently(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    if suffix == ".csv":
        path.write_text("title,problem\n甲,a,多出来的\n乙,b\n", encoding="utf-8")
    else:
        workbook(path, ["title", "problem"], ["甲", "a", "多出来的"], ["乙", "b"])
    first, second = read(path)
    assert first.line == 2
    assert first.error is not None
    assert second == FileRow(3, {"title": "乙", "problem": "b"})


def test_headings_may_be_chinese_starred_or_padded(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        "*,\n".replace("*,", "需求名称*, 投入资金（万元） ,合作方式,状态,\n") + "甲,80,联合,已发布\n", encoding="utf-8"
    )
    assert read(path)[0].values == {"title": "甲", "funding_wan": "80", "cooperation": "joint", "status": "published"}


@pytest.mark.parametrize("what", FORMS)
def test_every_chinese_heading_stands_for_a_column(what: str) -> None:
    form = FORMS[what]
    assert set(form.headings.values()) <= form.columns
    for names in form.values.values():
        assert all(names)


def test_values_of_chinese_forms_are_valid() -> None:
    for status in DEMANDS.values["status"].values():
        DemandImport.model_validate({"title": "t", "status": status})
    for cooperation in DEMANDS.values["cooperation"].values():
        DemandImport.model_validate({"title": "t", "cooperation": cooperation})


def test_a_csv_row_is_named_by_its_first_line(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('title,problem\n\n甲,"一\n二\n三"\n,,,\n乙,b\n', encoding="utf-8")
    assert [(row.line, row.values) for row in read(path)] == [
        (3, {"title": "甲", "problem": "一\n二\n三"}),
        (7, {"title": "乙", "problem": "b"}),
    ]


def test_an_xlsx_of_an_office_is_read(tmp_path: Path) -> None:
    path = workbook(
        tmp_path / "a.xlsx",
        ["编号", "名称*", "关键词", "投入资金(万元)", "开始年份", None],
        [7, "柔轮", "柔轮、疲劳;齿根\n裂纹", 80.5, 2026.0],
        [None, "  "],
        ["007", "窑炉"],
    )
    assert read(path) == [
        FileRow(
            2,
            {
                "external_id": "7",
                "title": "柔轮",
                "keywords": ["柔轮", "疲劳", "齿根", "裂纹"],
                "funding_wan": "80.5",
                "start_year": "2026",
            },
        ),
        FileRow(4, {"external_id": "007", "title": "窑炉"}),
    ]


def test_another_systems_id_is_an_external_id_and_ours_stays_ours(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": "7", "title": "a"}\n{"id": "u", "external_id": null, "title": "a"}\n')
    (tmp_path / "b.csv").write_text("id,title\n7,a\n")
    (tmp_path / "c.csv").write_text("id,external_id,title\nu,,a\n")
    assert [row.values for row in read(tmp_path / "a.jsonl")] == [
        {"external_id": "7", "title": "a"},
        {"id": "u", "external_id": None, "title": "a"},
    ]
    assert read(tmp_path / "b.csv")[0].values == {"external_id": "7", "title": "a"}
    assert read(tmp_path / "c.csv")[0].values == {"id": "u", "title": "a"}


def test_achievements_that_come_as_words(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": "1", "title_words": ["谐波", "减速器"]}\n', encoding="utf-8")
    assert read(tmp_path / "a.jsonl", "profiles")[0].values == {
        "external_id": "1",
        "kind": "achievement",
        "name": "谐波减速器",
    }


def test_works_in_a_cell_are_json_or_titles(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        cells = ['[{"title": "甲", "year": 2024}]', "甲\n\n 乙 ", "[broken", "[" * 100_000]
        csv.writer(file).writerows([["姓名", "成果"], *(["n", cell] for cell in cells)])
    assert [row.values and row.values["works"] for row in read(path, "profiles")] == [
        [{"title": "甲", "year": 2024}],
        [{"title": "甲"}, {"title": "乙"}],
        "[broken",
        "[" * 100_000,
    ]


@pytest.mark.parametrize("suffix", FORMATS)
def test_awkward_texts_come_back(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    with open_writer(path, ["title", "problem"]) as writer:
        for text in AWKWARD:
            writer.write({"title": text, "problem": f"{text}\n{text}"})
    assert [row.values for row in read(path)] == [{"title": text, "problem": f"{text}\n{text}"} for text in AWKWARD]


def test_no_csv_cell_starts_like_a_formula(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with open_writer(path, ["title", "keywords"]) as writer:
        for text in AWKWARD:
            writer.write({"title": text, "keywords": [text, "b"]})
    data = path.read_bytes()
    assert data.startswith(b"\xef\xbb\xbf")  # Excel needs it
    cells = [cell for row in csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")) for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]


def test_no_xlsx_cell_is_a_formula(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    with open_writer(path, ["title"]) as writer:
        for text in AWKWARD:
            writer.write({"title": text})
    cells = [row[0] for row in load_workbook(path).worksheets[0].iter_rows(min_row=2)]
    assert {cell.data_type for cell in cells} <= {"s", "inlineStr"}
    assert [unescape(str(cell.value)) for cell in cells] == AWKWARD


@pytest.mark.parametrize(
    ("text", "guarded"),
    [("=1", "'=1"), ("'=1", "''=1"), ("''@a", "'''@a"), ("a=1", "a=1"), ("'a", "'a"), ("'", "'"), ("", "")],
)
def test_formulas_are_guarded_by_one_apostrophe(text: str, guarded: str) -> None:
    assert guard_formula(text) == guarded
    assert unguard_formula(guarded) == text


@given(st.text(alphabet=st.sampled_from("'=+-@\t\ra1")))
def test_a_guard_is_always_taken_off_again(text: str) -> None:
    assert unguard_formula(guard_formula(text)) == text
    assert not guard_formula(text).startswith(tuple("=+-@\t\r＝＋－＠﹢﹣﹦﹫"))


ALLOWED = st.text(
    alphabet=st.one_of(
        st.sampled_from("\n\t\"',;；、=+-@'[]{}\\_x000D& 0a中🤖"),
        st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"),
    ),
    max_size=30,
).filter(lambda text: bool(text.strip()))


@pytest.mark.parametrize("suffix", FORMATS)
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
)
@given(texts=st.lists(ALLOWED, min_size=1, max_size=5))
@example(texts=["_x000D_", " a ", "'=1"])
def test_any_allowed_text_comes_back(tmp_path: Path, suffix: str, texts: list[str]) -> None:
    """Every text that a body may hold: also carriage returns, which the contract does not forbid."""
    path = tmp_path / f"a{suffix}"
    with open_writer(path, ["title", "problem"]) as writer:
        for text in texts:
            writer.write({"title": "t", "problem": text})
    rows = read(path)
    assert [row.values and row.values["problem"] for row in rows] == texts


def test_a_text_too_long_for_a_cell_is_refused_and_no_file_left(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    with pytest.raises(InvalidInput) as refused, open_writer(path, ["title"]) as writer:
        writer.write({"title": "长" * 32_768})
    assert refused.value.code == "cell_too_long"
    assert not path.exists()


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_file_that_cannot_be_finished_harms_no_earlier_one(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"the earlier one")

    def break_off() -> None:
        with open_writer(path, ["title"]) as writer:
            writer.write({"title": "甲"})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        break_off()
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == {path.name: b"the earlier one"}


def test_the_folder_of_the_target_is_made(tmp_path: Path) -> None:
    with open_writer(tmp_path / "a" / "b.csv", ["title"]) as writer:
        writer.write({"title": "甲"})
    assert read(tmp_path / "a" / "b.csv") == [FileRow(2, {"title": "甲"})]
