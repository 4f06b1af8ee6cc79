import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from ranking.worlds import ENCODER, QUERIES, TEXTS, document, snapshot_of

from matching_service.index.frequencies import Frequencies
from matching_service.ranking.lexical import lexical_value, passage_terms, query_terms, query_weights, rarity_among
from matching_service.ranking.prepare import prepare
from matching_service.ranking.query import Query
from matching_service.text.terms import count_terms, default_analyzer

few = settings(deadline=None, max_examples=60)


def terms(**query):
    return query_terms(Query(**{"title": ""} | query), default_analyzer())


def frequencies_of(*texts):
    return Frequencies.count([count_terms(text) for text in texts])


def weights(query, frequencies, asked=None):
    prepared = prepare(query, ENCODER, demand_frequencies=asked)
    return query_weights(prepared.terms, prepared.title_terms, prepared.rarity, frequencies)


class TestQueryTerms:
    @pytest.mark.parametrize(
        ("query", "times"),
        [
            ({"title": "水泵"}, 4),
            ({"problem": "水泵"}, 1),
            ({"key_technology": "水泵"}, 1),
            ({"expected_goal": "水泵"}, 1),
            ({"keywords": ("水泵",)}, 2),
            ({"keywords": ("水泵", "水泵")}, 4),
            ({"must_have": ("水泵",)}, 3),
            ({"title": "水泵", "problem": "水泵", "must_have": ("水泵",)}, 8),
        ],
        ids=str,
    )
    def test_each_field_counts_as_often_as_it_weighs(self, query, times):
        assert terms(**query) == dict.fromkeys(count_terms("水泵"), times)

    def test_a_nice_to_have_is_no_part_of_the_topic(self):
        assert terms(title="水泵", nice_to_have=("机器视觉",)) == terms(title="水泵")
        assert prepare(Query("水泵", nice_to_have=("机器视觉",)), ENCODER).terms == terms(title="水泵")

    @few
    @given(QUERIES)
    def test_the_words_of_introductions_carry_little_weight(self, query):
        introduced = Query(
            query.title,
            problem="本公司成立于2006年，是高新技术企业，专业生产注塑机。" + query.problem,
            key_technology=query.key_technology,
            expected_goal="年产值三亿元，经济效益显著。",
            keywords=query.keywords,
            must_have=query.must_have,
        )
        assume(any(character.isalnum() for character in query.text))  # a query of marks alone is kept as it is
        prepared = prepare(introduced, ENCODER)
        asides = prepared.rarity.keys() - set(count_terms(query.text))
        assert {prepared.terms[term] for term in asides} == {1}
        assert all(0.03 <= prepared.rarity[term] <= 0.3 for term in asides)

    def test_a_question_without_words_has_no_terms(self):
        assert terms() == terms(title="，。！😀", problem=" \n") == {}

    def test_a_passage_counts_all_its_fields_together(self):
        assert passage_terms(["水泵", "水泵铝", ""], default_analyzer()) == count_terms("水泵") + count_terms("水泵铝")


class TestQueryWeights:
    @few
    @given(QUERIES, st.lists(TEXTS, max_size=4), st.lists(TEXTS, max_size=3))
    def test_they_are_of_unit_length_or_there_are_none(self, query, texts, demands):
        found = weights(query, frequencies_of(*texts), frequencies_of(*demands))
        assert set(found) == set(prepare(query, ENCODER).terms)
        assert math.fsum(weight**2 for weight in found.values()) == pytest.approx(1 if found else 0)
        assert all(weight > 0 for weight in found.values())

    def test_the_title_weighs_more_than_the_body_however_long_that_is(self):
        body = "。".join(["机器视觉缺陷检测"] * 40)
        found = weights(Query("水泵", problem=body), frequencies_of())
        assert found["水泵"] > 0.15
        assert found["水泵"] > weights(Query("", problem=f"水泵。{body}"), frequencies_of())["水泵"] * 2

    def test_a_title_alone_weighs_like_its_own_terms(self):
        frequencies = frequencies_of("水泵", "铝")
        assert weights(Query("水泵叶轮"), frequencies) == pytest.approx(frequencies.weigh(count_terms("水泵叶轮")))

    def test_without_words_there_is_nothing_to_weigh(self):
        assert weights(Query("！"), frequencies_of("水泵")) == {}
        assert query_weights({}, {}, {}, frequencies_of()) == {}

    def test_what_every_demand_says_weighs_less(self):
        asked = frequencies_of(*["降低成本"] * 200, "水泵叶轮")
        query, frequencies = Query("水泵 成本"), frequencies_of("水泵", "成本")
        even, uneven = weights(query, frequencies), weights(query, frequencies, asked)
        assert even["水泵"] == pytest.approx(even["成本"])
        assert uneven["水泵"] > 2 * uneven["成本"]


class TestRarity:
    @few
    @given(st.lists(TEXTS, max_size=6), TEXTS)
    def test_it_is_1_at_least(self, demands, text):
        found = rarity_among([*count_terms(text), "unseen"], frequencies_of(*demands))
        assert set(found) == {*count_terms(text), "unseen"}
        assert all(rarity >= 1 for rarity in found.values())

    def test_it_grows_the_fewer_demands_use_a_term(self):
        asked = frequencies_of(*["铝"] * 90, *["铝 水泵"] * 9, "铝 水泵 柔轮")
        found = list(rarity_among(["铝", "水泵", "~柔轮", "unseen"], asked).values())
        assert found == sorted(set(found))
        assert found[0] == pytest.approx(1)

    def test_it_is_1_while_there_are_no_demands(self):
        assert rarity_among(["水泵"], frequencies_of()) == {"水泵": 1}
        assert prepare(Query("水泵"), ENCODER).rarity == {}
        assert set(prepare(Query("水泵"), ENCODER, demand_frequencies=frequencies_of()).rarity.values()) == {1.0}

    def test_few_demands_cannot_tell(self):
        few_demands = [rarity_among(["柔轮"], frequencies_of(*["铝"] * n))["柔轮"] for n in (1, 10, 100, 1000)]
        assert few_demands == sorted(set(few_demands))
        assert few_demands[0] < 1.02


@settings(deadline=None)
@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=20))
def test_the_signal_keeps_the_order_of_what_was_measured(raw):
    values = lexical_value(np.array(sorted(raw), np.float32))
    assert values.dtype == np.float32
    assert ((values >= 0) & (values <= 1)).all()
    assert (np.diff(values) >= 0).all()


def test_the_signal_starts_at_zero_and_is_a_half_at_a_fifth():
    assert lexical_value(np.array([0, 0.2], np.float32)).tolist() == pytest.approx([0, 0.5])


def test_an_empty_index_can_be_asked():
    snapshot = snapshot_of(document("a", ""))
    query = weights(Query("水泵"), snapshot.frequencies)
    assert snapshot.word_scores(query, snapshot.alive_rows).tolist() == [0]
