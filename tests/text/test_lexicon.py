import dataclasses

import pytest

from matching_service.text.lexicon import default_lexicon, parse_lexicon
from matching_service.text.normalise import fold


def test_the_lexicon_that_ships_is_large_and_folded():
    lexicon = default_lexicon()
    assert len(lexicon.user_words) >= 1500
    assert len(lexicon.stop_words) >= 300
    assert len(set(lexicon.canonical.values())) >= 500
    assert all(fold(word) == word for word in {*lexicon.user_words, *lexicon.stop_words, *lexicon.canonical})
    assert all(frequency > 0 for frequency in lexicon.user_words.values())


def test_the_lexicon_is_read_once_and_cannot_be_changed():
    assert default_lexicon() is default_lexicon()
    with pytest.raises(dataclasses.FrozenInstanceError):
        default_lexicon().version = "other"  # type: ignore[misc]


def test_every_synonym_has_another_and_leads_to_a_member_of_its_group():
    canonical = default_lexicon().canonical
    sizes = {leader: sum(other == leader for other in canonical.values()) for leader in set(canonical.values())}
    assert all(canonical[leader] == leader for leader in sizes)
    assert {leader for leader, size in sizes.items() if size < 2} == set()


def test_no_word_is_both_wanted_and_dropped():
    lexicon = default_lexicon()
    assert lexicon.stop_words.isdisjoint(lexicon.user_words)
    assert lexicon.stop_words.isdisjoint(lexicon.canonical)


def test_parsing_folds_words_and_skips_comments_and_blank_lines():
    lexicon = parse_lexicon(
        "# 词\n\n諧波減速器 7 n\nＳＬＡＭ 3\n深度 学习 5 n\n", "# 停用\n的\n  ＴＨＥ \n", "# 组\nPLC, 可编程控制器 ,,\n"
    )
    assert lexicon.user_words == {"谐波减速器": 7, "slam": 3, "深度 学习": 5}
    assert lexicon.stop_words == {"的", "the"}
    assert lexicon.canonical == {"plc": "plc", "可编程控制器": "plc"}


def test_parsing_empty_files_gives_an_empty_lexicon():
    lexicon = parse_lexicon("", "", "")
    assert (dict(lexicon.user_words), lexicon.stop_words, dict(lexicon.canonical)) == ({}, frozenset(), {})


@pytest.mark.parametrize(
    "line", ["谐波减速器", "谐波减速器 n", "谐波减速器 n 3", "谐波减速器 -3 n", "谐波减速器 0 n", "谐波减速器 3.5 n"]
)
def test_a_bad_line_of_the_user_dictionary_is_named(line):
    with pytest.raises(ValueError, match=line):
        parse_lexicon(f"齿轮 3 n\n{line}\n", "", "")


def test_a_word_in_two_groups_of_synonyms_is_named():
    with pytest.raises(ValueError, match="plc"):
        parse_lexicon("", "", "PLC,可编程控制器\n控制器,ＰＬＣ\n")


def test_a_word_twice_in_one_group_is_harmless():
    assert parse_lexicon("", "", "PLC,plc,可编程控制器").canonical == {"plc": "plc", "可编程控制器": "plc"}


def test_the_version_names_the_contents():
    files = ("泵 3 n", "的", "PLC,可编程控制器")
    versions = {
        parse_lexicon(*files).version,
        parse_lexicon("泵 4 n", *files[1:]).version,
        parse_lexicon(files[0], "了", files[2]).version,
        parse_lexicon(*files[:2], "PLC,可编程逻辑控制器").version,
        parse_lexicon("", "", "").version,
        parse_lexicon("", "的", "").version,
        parse_lexicon("", "", "的").version,
    }
    assert len(versions) == 7
    assert parse_lexicon(*files).version == parse_lexicon(*files).version
