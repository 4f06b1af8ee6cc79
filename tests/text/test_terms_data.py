import re
import tomllib
import unicodedata
from collections import Counter, defaultdict
from importlib.resources import files

import pytest

from matching_service.text.lexicon import default_lexicon
from matching_service.text.normalise import fold

FOREIGN = ("en", "ja", "de", "ru", "fr", "ko", "es")
LANGUAGES = ("zh", "zh_other", *FOREIGN)
SHARED_BY_ALL = "通用工程方法"
FILES = sorted(
    (entry for entry in (files("matching_service.text") / "data" / "terms").iterdir() if entry.name.endswith(".tsv")),
    key=lambda entry: entry.name,
)
LATIN_NAMES = set(  # English words with a capital that are not acronyms
    re.findall(
        r"\w+",
        """
        Aspergillus Bacillus Bauschinger Bifidobacterium Bluetooth Bragg Cartesian Chi Chinese Citri Daodi Energy Escherichia
        Ethernet Exocarpium Fenton Fischer Fourier Grandis Hall Helmholtz Industry Internet Kalman Kapton Karl Kevlar
        Lacticaseibacillus Lactiplantibacillus Lactobacillus Listeria Low Maillard Micropterus Panax Pericarpium Pickering
        Raman Rankine Reticulatae Rhizopus Roots Saccharomyces Salmonella Staphylococcus Stewart Taguchi Teflon
        Tetragenococcus Things Type Vehicles Vickers Weizmannia Young Zygosaccharomyces
        """,
    )
)


def read(entry):
    """The rows of a file by column; the header names them."""
    header, *lines = entry.read_text(encoding="utf-8").splitlines()
    return [dict(zip(header.split("\t"), line.split("\t"), strict=True)) for line in lines]


TERMS = [row for entry in FILES for row in read(entry)]


def forms(row, *columns):
    return [form for column in columns or LANGUAGES for form in row[column].split("|") if row[column]]


def cells(*columns):
    return [(row["zh"], column, form) for row in TERMS for column in columns for form in forms(row, column)]


@pytest.mark.parametrize("entry", FILES, ids=lambda entry: entry.name)
def test_a_file_has_the_columns_of_the_lexicon_and_holds_one_cluster(entry):
    content = entry.read_text(encoding="utf-8")
    assert content.splitlines()[0].split("\t") == [*LANGUAGES, "cluster"]
    assert content.endswith("\n")
    assert "\r" not in content
    assert len({row["cluster"] for row in read(entry)}) == 1


def test_every_cluster_of_the_city_has_its_terms():
    plan = tomllib.loads((files("matching_service.programme") / "targets.toml").read_text(encoding="utf-8"))
    sizes = Counter(row["cluster"] for row in TERMS)
    assert set(sizes) == {*plan["clusters"], SHARED_BY_ALL}
    assert {cluster: sizes[cluster] for cluster in plan["clusters"] if sizes[cluster] < 250} == {}


def test_most_terms_have_a_name_in_every_language():
    assert len(TERMS) >= 3000
    shares = {language: sum(bool(row[language]) for row in TERMS) / len(TERMS) for language in FOREIGN}
    assert shares["en"] == 1
    assert {language: share for language, share in shares.items() if share < 0.95} == {}


def test_cells_are_tidy():
    for row in TERMS:
        for column in LANGUAGES:
            cell = row[column]
            assert unicodedata.is_normalized("NFC", cell), cell
            names = cell.split("|") if cell else []
            assert all(name and name == name.strip() and "  " not in name for name in names), cell
            assert len({fold(name) for name in names}) == len(names), cell


def test_a_form_names_one_concept_in_all_languages():
    concepts = defaultdict(set)
    for row in TERMS:
        for form in forms(row):
            concepts[fold(form)].add(row["zh"])
    assert len({fold(row["zh"]) for row in TERMS}) == len(TERMS)
    assert {form: found for form, found in concepts.items() if len(found) > 1} == {}


def test_terms_agree_with_the_synonyms():
    """All that a concept is called stands in one group at most, and a group in one concept."""
    canonical = default_lexicon().canonical
    concepts = defaultdict(set)
    for row in TERMS:
        groups = {canonical[fold(form)] for form in forms(row) if fold(form) in canonical}
        assert len(groups) <= 1, (row["zh"], groups)
        for group in groups:
            concepts[group].add(row["zh"])
    assert {group: found for group, found in concepts.items() if len(found) > 1} == {}


def test_no_term_is_a_word_without_a_topic():
    lexicon = default_lexicon()
    general = {*lexicon.stop_words, *lexicon.bare_words, "改造", "平台", "提高", "系统", "技术", "设备", "材料", "性能"}
    assert [cell for cell in cells(*LANGUAGES) if fold(cell[2]) in general] == []


def test_chinese_names_are_chinese_and_simplified():
    for concept, _, form in cells("zh", "zh_other"):
        assert re.search("[一-鿿]", form), concept
        assert fold(form) == form.lower(), form


@pytest.mark.parametrize(("language", "script"), [("ja", "[぀-ヿ一-鿿]"), ("ru", "[а-яё]|[А-ЯЁ]{2}"), ("ko", "[가-힣]")])
def test_names_are_in_the_script_of_their_language(language, script):
    assert [cell for cell in cells(language) if not re.search(script, cell[2])] == []


def test_japanese_names_have_no_characters_that_japanese_lacks():
    for concept, _, form in cells("ja"):
        form.encode("cp932")  # raises, naming the character
        assert concept


def test_latin_names_have_no_letters_of_another_script():
    assert [cell for cell in cells("en", "de", "fr", "es") if re.search("[Ѐ-ӿ぀-ヿ一-鿿가-힣]", cell[2])] == []
    mixed = [cell for cell in cells("ru") if re.search("[а-яё][a-z]|[a-z][а-яё]", cell[2].lower())]
    assert [cell for cell in mixed if not re.search("[a-z]-[а-яё]", cell[2].lower())] == []


def test_no_form_is_a_single_letter():
    def letters(form):
        return sum(character.isalpha() for character in form)

    assert [cell for cell in cells(*FOREIGN) if letters(cell[2]) < 2 and not re.search("[一-鿿]", cell[2])] == []


def test_german_nouns_begin_with_a_capital():
    single = [cell for cell in cells("de") if " " not in cell[2]]
    assert [cell for cell in single if not re.match("[A-ZÄÖÜ0-9]|m[A-Z]", cell[2])] == []


def test_english_is_written_small_except_names_and_acronyms():
    words = {word for _, _, form in cells("en") for word in re.findall(r"(?<![\w-])[A-Z][a-z]{2,}(?![\w])", form)}
    assert words - LATIN_NAMES == set()


def test_the_harmonic_drive_is_known_by_all_its_names():
    [row] = [row for row in TERMS if row["zh"] == "谐波减速器"]
    names = {fold(form) for form in forms(row)}
    expected = (
        "谐波传动|harmonic drive|strain wave gear|波動歯車装置|Wellgetriebe|Spannungswellengetriebe|волновая передача|"
        "réducteur harmonique|하모닉 드라이브|reductor armónico"
    )
    assert names >= {fold(name) for name in expected.split("|")}
