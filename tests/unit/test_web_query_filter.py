"""Which questions FireWorks' GUI may be asked, one by one."""

import json

import pytest

from mlip_fw.views.web.query_filter import fault_of_arguments, fault_of_path, fault_of_query

NUMBERS = ["0", "-1", "", "x", "1.0", "1e2", "²", "1\n", "9" * 5000]


class TestPlaces:
    @pytest.mark.parametrize(
        ("name", "right", "wrong"),
        [
            ("state", ["READY", "FIZZLED", "ARCHIVED", "total"], ["ready", "$where", ""]),
            ("sorting_key", ["_id", "fw_id", "name", "created_on", "updated_on"], ["spec", "$where", ""]),
            ("sorting_order", ["ASCENDING", "DESCENDING"], ["1", "ascending", ""]),
            ("interval", ["minutes", "hours", "days", "months", "years"], ["seconds", "eons", ""]),
            ("coll", ["fireworks", "workflows"], ["launches", "system.users", ""]),
        ],
    )
    def test_words(self, name, right, wrong):
        assert [fault_of_path({name: word}) for word in right] == [None] * len(right)
        assert all(name in fault_of_path({name: word}) for word in wrong)

    @pytest.mark.parametrize("number", [*NUMBERS, "101"])
    def test_no_number_of_intervals(self, number):
        assert fault_of_path({"num_intervals": number}) is not None

    @pytest.mark.parametrize("number", ["1", "100", 7])
    def test_number_of_intervals(self, number):
        assert fault_of_path({"num_intervals": number}) is None

    @pytest.mark.parametrize("key", ["mlip_fw", "a.b-c", "x" * 100])
    def test_key_of_metadata(self, key):
        assert fault_of_path({"key": key}) is None

    @pytest.mark.parametrize("key", ["", "$where", ".a", "a$b", "a b", "a\n", "x" * 101])
    def test_what_is_no_key(self, key):
        assert fault_of_path({"key": key}) is not None

    @pytest.mark.parametrize("name", ["fw_id", "wf_id"])
    def test_numbers_that_a_database_can_hold(self, name):
        assert fault_of_path({name: 2**31 - 1}) is None
        assert fault_of_path({name: 2**31}) == "there is no such number"

    def test_places_without_parts(self):
        assert fault_of_path({}) is None


class TestQuestions:
    @pytest.mark.parametrize("page", [*NUMBERS, "1000001"])
    def test_no_page(self, page):
        assert "page" in fault_of_arguments({"page": page})

    @pytest.mark.parametrize("page", ["1", "1000000"])
    def test_page(self, page):
        assert fault_of_arguments({"page": page}) is None

    @pytest.mark.parametrize("name", ["fw_query", "wf_query"])
    def test_both_queries_are_looked_at(self, name):
        assert fault_of_arguments({name: '{"state": "READY"}'}) is None
        assert "$where" in fault_of_arguments({name: '{"$where": "1"}'})

    def test_no_questions(self):
        assert fault_of_arguments({}) is None


COMPARING = ["and", "or", "nor", "not", "eq", "ne", "gt", "gte", "lt", "lte", "in", "nin", "exists"]
OTHERS = [
    "where",
    "function",
    "accumulator",
    "expr",
    "regex",
    "options",
    "text",
    "jsonSchema",
    "near",
    "mod",
    "",
    "AND",
]


class TestQueries:
    @pytest.mark.parametrize("name", COMPARING)
    def test_what_only_compares(self, name):
        assert fault_of_query(json.dumps({"a": {f"${name}": 1}})) is None

    @pytest.mark.parametrize("name", OTHERS)
    @pytest.mark.parametrize(
        "within", [lambda q: q, lambda q: {"a": q}, lambda q: {"$or": [{"a": 1}, q]}, lambda q: {"a": [[q]]}]
    )
    def test_what_may_do_more(self, name, within):
        fault = fault_of_query(json.dumps(within({f"${name}": 1})))
        assert fault.startswith(f"the query uses ${name};")

    @pytest.mark.parametrize(("n", "is_fine"), [(2000, True), (2001, False)])
    def test_length(self, n, is_fine):
        text = '{"a": "' + (n - 9) * "x" + '"}'
        assert len(text) == n
        assert (fault_of_query(text) is None) is is_fine

    @pytest.mark.parametrize(("n", "is_fine"), [(20, True), (21, False), (300, False)])
    @pytest.mark.parametrize(("opening", "closing"), [('{"a":', "}"), ('{"a":[', "]}")])
    def test_depth(self, n, is_fine, opening, closing):
        n_brackets = n // len(closing)
        text = opening * n_brackets + ('{"a":1}' if n % len(closing) else "1") + closing * n_brackets
        assert (fault_of_query(text) is None) is is_fine

    @pytest.mark.parametrize("text", ["[]", "1", "null", '"$where"', "nonsense", "{", "{'a': 1}", "[" * 1999])
    def test_what_is_no_query(self, text):
        assert fault_of_query(text) is not None

    def test_none(self):
        assert fault_of_query("") is None
        assert fault_of_query("{}") is None
