import contextlib

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from strategies import ANY_TEXT

from matching_service.foundation.clock import new_id
from matching_service.foundation.errors import InvalidInput
from matching_service.foundation.paging import DEFAULT_LIMIT, MAX_LIMIT, PageRequest, decode_cursor, encode_cursor

PRINTABLE_IDS = st.uuids().map(str)


@settings(deadline=None)
@given(PRINTABLE_IDS)
def test_a_cursor_gives_back_the_id_it_was_made_of(last_id):
    assert decode_cursor(encode_cursor(last_id)) == last_id


def test_an_id_of_ours_makes_a_cursor_that_fits_into_a_url():
    last_id = new_id()
    cursor = encode_cursor(last_id)
    assert decode_cursor(cursor) == last_id
    assert all(character.isascii() and (character.isalnum() or character in "-_") for character in cursor)


@settings(deadline=None)
@given(PRINTABLE_IDS, PRINTABLE_IDS)
def test_two_ids_have_two_cursors(one, other):
    assert (encode_cursor(one) == encode_cursor(other)) == (one == other)


@settings(deadline=None, max_examples=200)
@given(st.one_of(ANY_TEXT, st.text("ABCDEFGHabcdefgh0123456789-_=", max_size=30)))
@example("")
@example("A")
@example("====")
@example("\x00")
@example("\ud800")
def test_any_text_is_an_id_or_refused(cursor):
    last_id = None
    with contextlib.suppress(InvalidInput):
        last_id = decode_cursor(cursor)
    assert last_id is None or (last_id.isascii() and last_id.isprintable() and last_id)


@pytest.mark.parametrize("last_id", ["\x00", "a\nb", "a\x7f", "", "水", "\ufeff"])
def test_a_cursor_of_what_is_no_id_is_refused(last_id):
    with pytest.raises(InvalidInput) as refused:
        decode_cursor(encode_cursor(last_id))
    assert refused.value.code == "invalid_cursor"
    assert [error.pointer for error in refused.value.errors] == ["cursor"]


def test_the_refusal_says_what_to_do_in_both_languages():
    with pytest.raises(InvalidInput) as refused:
        decode_cursor("not a cursor")
    assert "第一页" in refused.value.detail.zh
    assert "first page" in refused.value.detail.en


def test_a_page_starts_at_the_newest_row_unless_told_otherwise():
    assert PageRequest() == PageRequest(limit=DEFAULT_LIMIT, after=None)
    assert (DEFAULT_LIMIT, MAX_LIMIT) == (20, 200)
