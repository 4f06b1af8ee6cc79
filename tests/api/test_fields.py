"""What every text of a body goes through."""

import pytest
from pydantic import ValidationError

from matching_service.demands.schemas import DemandContactBody, DemandCreate


@pytest.mark.parametrize("character", ["\x00", "\x1f", "\x7f", "\ufffe", "\uffff", "\ud800"])
def test_what_a_workbook_or_a_database_cannot_hold_is_refused(character: str) -> None:
    with pytest.raises(ValidationError):
        DemandCreate(title="泵", problem=f"a{character}b")


def test_every_line_end_becomes_one_kind() -> None:
    assert DemandCreate(title="泵", problem="a\r\nb\rc\n").problem == "a\nb\nc\n"


@pytest.mark.parametrize("blank", ["", " ", "\n\t "])
def test_a_blank_optional_text_says_nothing(blank: str) -> None:
    assert DemandCreate(title="泵", problem=blank).problem is None


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("13900001234", "13900001234"),
        (" +86 139-0000-1234 ", "+86 139-0000-1234"),
        ("0757-83338888", "0757-83338888"),
        ("(0757)83338888", "(0757)83338888"),
        ("（0757）83338888", "(0757)83338888"),
        ("０７５７－８３３３８８８８", "0757-83338888"),
        ("0757-83338888转801", "0757-83338888转801"),
        ("0757-83338888 ext. 801", "0757-83338888 ext. 801"),
        ("0757-83338888-801", "0757-83338888-801"),
        ("400-800-8820", "400-800-8820"),
        ("95588", "95588"),
        ("+1.650.253.0000", "+1.650.253.0000"),
        ("+49 (0)89 1234-56", "+49 (0)89 1234-56"),
        ("00852 2345 6789", "00852 2345 6789"),
    ],
)
def test_a_phone_number_may_be_written_as_people_write_it(sent: str, stored: str) -> None:
    assert DemandContactBody(mobile=sent).mobile == stored


@pytest.mark.parametrize(
    "wrong", ["1380", "1-3-8-0", "1----", "((((((", "没有", "13900001234 李工", "13900001234转", "电话13900001234"]
)
def test_what_is_no_phone_number_is_refused(wrong: str) -> None:
    with pytest.raises(ValidationError) as refused:
        DemandContactBody(mobile=wrong)
    assert [error["type"] for error in refused.value.errors()] == ["string_pattern_mismatch"]


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("chen@example.org", "chen@example.org"),
        (" Chen.Gong+1@QQ.COM ", "Chen.Gong+1@QQ.COM"),
        ("ｃｈｅｎ＠ｑｑ．ｃｏｍ", "chen@qq.com"),
        ("陈工@例子.公司", "陈工@例子.公司"),
        ("chen@xn--fsqu00a.xn--55qx5d", "chen@xn--fsqu00a.xn--55qx5d"),
        ("chen@office.test", "chen@office.test"),
    ],
)
def test_an_email_address_is_stored_as_it_was_written(sent: str, stored: str) -> None:
    assert DemandContactBody(email=sent).email == stored


@pytest.mark.parametrize(
    "wrong",
    ["chen@qq.com，", "chen@qq.com.", "chen@qq.com;", "chen@qq.com、li", "<chen@qq.com>", "mailto:chen@qq.com",
     "chen..gong@qq.com", ".chen@qq.com", "chen@-qq.com", "chen@qq..com", "chen@qq.c，m", "chen,gong@qq.com"],
)  # fmt: skip
def test_an_email_address_that_no_server_would_take_is_refused(wrong: str) -> None:
    with pytest.raises(ValidationError) as refused:
        DemandContactBody(email=wrong)
    assert [error["type"] for error in refused.value.errors()] == ["email_address"]
