"""Columns: tables become inputs by what the training rows had, and by nothing else."""

import copy
import json
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minibp import CrossEntropy, Dense, Network, Softmax, load, save
from minibp.data import Category, Columns, Number, Origin
from minibp.errors import ArgumentError, FileFormatError, InputError
from minibp.files import saving

NAN = float("nan")
PEOPLE = {
    "age": np.array([30.0, NAN, 50.0, NAN]),
    "colour": np.array(["red", "blue", "red", "blue"], object),
    "kind": np.array(["a", "b", "a", "b"], object),
}


def of(**columns):
    return Columns.of({name: np.asarray(values) for name, values in columns.items()})


def test_numbers_stay_and_missing_ones_become_the_median_with_an_input_that_says_so():
    columns = of(age=[30.0, NAN, NAN, 50.0, 43.0])
    assert columns.inputs == ["age", "age is missing"]
    assert columns.encode({"age": [1.0, NAN]}).tolist() == [[1, 0], [43, 1]]


def test_a_column_without_missing_values_in_training_has_no_input_for_them():
    columns = of(age=[30.0, 40.0, 50.0])
    assert columns.inputs == ["age"]
    assert columns.encode({"age": ["", "7"]}).tolist() == [[40], [7]]


def test_words_become_an_input_for_each_common_value_and_one_for_the_others():
    words = ["red"] * 100 + ["blue"] * 97 + ["green", "grey", "pink"]  # 1 % of 200 are 2
    columns = of(colour=np.array(words, object))
    assert columns.inputs == ["colour=blue", "colour=red", "colour is other"]
    given = {"colour": ["red", "blue", "grey", "violet"]}
    assert columns.encode(given).tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 1], [0, 0, 1]]


def test_unknown_values_are_zero_everywhere_if_no_training_row_was_of_another_value():
    columns = of(colour=np.array(["red", "red", "blue", "blue"], object))
    assert columns.encode({"colour": ["violet", None]}).tolist() == [[0, 0], [0, 0]]


def test_missing_words_have_an_input_of_their_own():
    columns = of(colour=np.array(["red", "red", None, "?", "blue", "blue"], object))
    assert columns.inputs == ["colour=blue", "colour=red", "colour is missing"]
    assert columns.encode({"colour": ["N/A", "red"]}).tolist() == [[0, 0, 1], [0, 1, 0]]


def test_whole_numbers_are_the_same_words_whether_or_not_a_cell_is_missing():
    columns = Columns.of({"zip": np.array([10, 10, 20, 20])}, categories=["zip"])
    assert columns.inputs == ["zip=10", "zip=20"]
    for cells in ([20, 10], [20.0, 10.0], ["20", " 10 "]):
        assert columns.encode({"zip": cells}).tolist() == [[0, 1], [1, 0]]


def test_booleans_are_words():
    assert of(member=[True, False, True, False]).inputs == ["member=False", "member=True"]


def test_columns_that_cannot_help_are_left_out():
    names = np.array(["Ann", "Bob", "Cy", "Di"], object)
    dates = np.array(["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04"], "datetime64[D]")
    columns = of(name=names, born=dates, empty=np.full(4, NAN), age=[1, 2, 3, 4])
    assert columns.inputs == ["age"]
    with pytest.raises(InputError, match="no column of 'name', 'born' can be used"):
        of(name=names, born=dates)


def test_the_target_is_no_input():
    assert Columns.of(PEOPLE, target="kind").inputs[0] == "age"
    assert "kind" not in "".join(Columns.of(PEOPLE, target="kind").inputs)


cells = st.one_of(st.none(), st.sampled_from(["red", "blue", "a,b", "é", "?"]))
tables = st.integers(1, 30).flatmap(
    lambda n: st.fixed_dictionaries({
        "x": st.lists(st.floats(-1e6, 1e6) | st.just(NAN), min_size=n, max_size=n),
        "n": st.lists(st.integers(-9, 9), min_size=n, max_size=n),
        "w": st.lists(cells, min_size=n, max_size=n),
    })
)  # fmt: skip


@given(tables, st.permutations(["x", "n", "w"]))
def test_the_order_of_columns_and_columns_besides_change_nothing(table, order):
    columns = Columns.of(table)
    other = {name: table[name] for name in order} | {"more": ["?"] * len(table["n"])}
    np.testing.assert_array_equal(columns.encode(table), columns.encode(other))


@given(tables)
def test_plain_values_describe_all_of_it(table):
    columns = Columns.of(table, target="y")
    again = Columns(**json.loads(json.dumps(columns.config())))
    assert again.config() == columns.config() and again.target == "y"
    np.testing.assert_array_equal(columns.encode(table), again.encode(table))


@given(tables)
def test_inputs_are_finite_and_as_many_as_their_names(table):
    columns = Columns.of(table)
    x = columns.encode(table)
    assert x.shape == (len(table["n"]), columns.sample_size) == (len(table["n"]), len(columns.inputs))
    assert x.dtype == np.float32 and np.isfinite(x).all()


@pytest.mark.parametrize(("table", "message"), [
    ({"age": [1, 2], "name": ["a", "b"]}, r"the table lacks 1 of 2 columns: 'colour'; it has 'age', 'name'"),
    ({"age": ["1", "many"], "colour": ["", ""]}, r"column 'age' holds 'many' in row 2, expected a number; leave the"),
    ({"age": [1, np.inf], "colour": ["", ""]}, r"column 'age' holds inf in row 2, expected numbers of at most 3e38"),
    ({"age": [1, 1e39], "colour": ["", ""]}, r"column 'age' holds 1e\+39 in row 2"),
    ({"age": np.zeros((2, 2)), "colour": ["", ""]}, r"a column has the shape \(2, 2\), expected \(N,\)"),
    ({"age": np.array(["2024-01-01"], "datetime64[D]"), "colour": [""]}, r"column 'age' holds neither numbers nor"),
])  # fmt: skip
def test_tables_that_do_not_fit_are_refused(table, message):
    columns = Columns([Number("age", 3.0, False), Category("colour", ["red"], False, False)])
    with pytest.raises(InputError, match=message):
        columns.encode(table)


@pytest.mark.parametrize(("cells", "message"), [
    (["1", "2", "many", "3"], r"column 'age' holds 3 numbers, but 'many' in row 3. If that means missing"),
    (["1,200", "3,400", "1,100"], r"holds '1,200' in row 1, which is a number to people only; write numbers"),
    (["3,14", "2,71", "x"], r"holds '3,14' in row 1, which is a number to people only"),
    (["1_000", "2_000", "3", "4"], r"holds 2 numbers, but '1_000' in row 1"),
])  # fmt: skip
def test_cells_that_are_neither_numbers_nor_words_for_sure_are_refused(cells, message):
    with pytest.raises(InputError, match=message):
        of(age=np.array(cells, object))


@pytest.mark.parametrize(("columns", "message"), [
    ([], "there is no column"),
    ([{"name": "a"}], "a column is {'name': 'a'}, expected a Number or a Category"),
    ([Number("a", NAN, False)], "median must be a finite number"),
    ([Number("", 1.0, False)], "a name is '', expected a string"),
    ([Number("a", 1.0, 2)], "missing is 2, expected True or False"),
    ([Number("a", 1.0, False)] * 2, "there are two columns 'a'"),
    ([Category("a", [], True, True)], "values must be an integer of at least 1"),
    ([Category("a", ["b", "b"], True, True)], "expected different strings"),
    ([Number("a=b", 1.0, False), Category("a", ["b"], False, False)], "two inputs would be called 'a=b'"),
])  # fmt: skip
def test_descriptions_that_contradict_themselves_are_refused(columns, message):
    with pytest.raises(ArgumentError, match=message):
        Columns(columns)


def test_words_that_training_did_not_know_can_be_asked_for():
    columns = of(colour=np.array(["red", "red", "blue", "blue"], object), age=[1, 2, 3, 4])
    assert columns.unknown({"colour": ["Red", "RED", "red"]}) == {"colour": ["RED", "Red"]}
    assert columns.unknown({"colour": ["red", "blue", "grey"]}) == {}


# --- kept by a network


@pytest.fixture
def net():
    net = Network([Dense(4, 2), Softmax()], CrossEntropy())
    net.preprocessing, net.origin = Columns.of(PEOPLE, target="kind"), Origin("people.csv", 3, "abc")
    return net


def test_a_network_keeps_them_in_its_file_in_copies_and_in_pickles(net, tmp_path):
    save(net, tmp_path / "net")
    for other in (load(tmp_path / "net"), copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert other.preprocessing.config() == net.preprocessing.config()
        assert other.origin.config() == {"name": "people.csv", "seed": 3, "sha256": "abc"}
        x = other.preprocessing.encode(PEOPLE)
        np.testing.assert_array_equal(other.predict(x), net.predict(net.preprocessing.encode(PEOPLE)))


def test_they_can_be_taken_away_again(net, tmp_path):
    net.preprocessing = net.origin = None
    save(net, tmp_path / "net")
    assert load(tmp_path / "net").preprocessing is None


@pytest.mark.parametrize(("value", "message"), [
    (Columns([Number("age", 1.0, False)]), "preprocessing gives 1 inputs, but the network takes 4"),
    ({"age": 1.0}, r"preprocessing must be None or one of minibp.data, received \{'age': 1.0\}"),
])  # fmt: skip
def test_what_does_not_fit_the_network_is_refused(net, value, message):
    with pytest.raises(ArgumentError, match=message):
        net.preprocessing = value


@pytest.mark.parametrize("described", [
    ["Columns", {"columns": []}], ["Tables", {}], ["Columns", {"age": 1}], 7, ["Columns"], "Pictures"
])  # fmt: skip
def test_a_file_with_a_damaged_description_is_refused(net, described, tmp_path, monkeypatch):
    describe = saving.describe
    monkeypatch.setattr(saving, "describe", lambda net: describe(net) | {"preprocessing": described})
    save(net, tmp_path / "net")
    with pytest.raises(FileFormatError, match="the description and the weights do not fit together"):
        load(tmp_path / "net")
