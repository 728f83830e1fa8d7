"""python -m minibp train on own data, and predict, evaluate and report with what it saves."""

import csv
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from arrays import idx_bytes

from datasets.script import main as script
from minibp import data, load
from minibp.cli.command_line import main
from minibp.export import read_history

pandas = pytest.importorskip("pandas")
N = 60
LAST = re.compile(r"test accuracy (\d\.\d{4})  loss \d+\.\d{4}  epochs (\d+)  seconds \d+\.\d")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def flowers(n=N, seed=0):
    """A table whose three species follow from its length and its colour."""
    rng = np.random.default_rng(seed)
    length, colour = rng.uniform(1, 9, n).round(2), rng.choice(["red", "blue"], n)
    species = np.where(colour == "red", "rose", np.where(length > 5, "iris", "viola"))
    width = rng.normal(size=n).round(2)
    return pandas.DataFrame({"length": length, "colour": colour, "width": width, "species": species})


@pytest.fixture
def table():
    flowers().to_csv("flowers.csv", index=False)
    return "flowers.csv"


@pytest.fixture
def run(printed_lines):
    """A function that runs a command, and returns the lines that it prints."""
    return lambda *arguments: printed_lines(main([str(argument) for argument in arguments]))


@pytest.fixture
def train(run):
    """A function that trains for two epochs, and returns the lines that are printed."""
    return lambda *arguments: run("train", *arguments, "--epochs", 2, "--hidden", 8)


@pytest.fixture
def refusal(error_line):
    """A function that runs `train` quietly, and returns its error."""
    return lambda *arguments: error_line(main(["train", *map(str, arguments), "--quiet", "--epochs", "1"]))


# --- tables


def test_a_table_is_learned_and_its_file_is_enough_to_predict_and_evaluate(run, table):
    lines = run("train", table, "--target", "species", "--hidden", 32, "--lr", 0.01, "--save", "net")
    assert "flowers.csv: 38 to train on, 10 for validation, 12 to test on; species: 3 classes" in lines
    (last,) = filter(None, map(LAST.fullmatch, lines))
    assert float(last[1]) >= 0.75
    assert lines[-3].split("  #")[0].endswith(" predict net flowers.csv")
    assert load("net").class_names == ["iris", "rose", "viola"]
    assert load("net").column_names == ["length", "colour=blue", "colour=red", "width"]
    (line,) = run("evaluate", "net", table)
    assert line == f"{last[0].split('  epochs')[0]}  samples 12"
    head, *rows = run("predict", "net", table)
    assert head == "sample,class,output" and len(rows) == N
    assert sum(row.split(",")[1] == true for row, true in zip(rows, flowers().species, strict=True)) > 0.8 * N


def test_the_order_of_columns_and_those_besides_change_no_prediction(run, train, table):
    train(table, "--target", "species", "--save", "net")
    expected = run("predict", "net", table, "--outputs")
    flowers()[["species", "width", "colour", "length"]].assign(more="x").to_csv("other.csv", index=False)
    flowers().drop(columns="species").to_csv("new.csv", sep=";", decimal=",", index=False)
    assert run("predict", "net", "other.csv", "--outputs") == run("predict", "net", "new.csv", "--outputs") == expected


def test_evaluate_counts_all_rows_of_another_table(run, train, table, capsys):
    train(table, "--target", "species", "--save", "net")
    flowers(seed=1).to_csv("other.csv", index=False)
    assert run("evaluate", "net", "other.csv")[0].endswith(f"samples {N}")
    main(["evaluate", "net", table])
    out, error = capsys.readouterr()
    assert out.endswith("samples 12\n")
    assert error == "note: the network was trained on flowers.csv: only the 12 samples count that were held out\n"


def test_a_table_that_has_changed_since_the_training_is_pointed_out(train, table, capsys):
    train(table, "--target", "species", "--save", "net")
    flowers(N + 1).to_csv(table, index=False)
    assert main(["evaluate", "net", table]) == 0
    out, error = capsys.readouterr()
    assert out.endswith(f"samples {N + 1}\n")
    assert "is not the same: all 61 samples count, also those that it may have been trained on" in error


def test_numbers_are_predicted_in_their_unit(run):
    x = np.random.default_rng(0).uniform(size=80)
    pandas.DataFrame({"x": x, "price": 1e6 * x + 5e6}).to_csv("prices.csv", index=False)
    lines = run("train", "prices.csv", "--target", "price", "--save", "net")
    assert re.match(r"test R2 (1\.0|0\.9)\d+  loss", next(line for line in lines if line.startswith("test R2")))
    head, first, *_ = run("predict", "net", "prices.csv")
    assert head == "sample,price" and 4.5e6 < float(first.split(",")[1]) < 6.5e6
    assert run("evaluate", "net", "prices.csv")[0].startswith(("test R2 0.9", "test R2 1.0"))


@pytest.mark.parametrize(("column", "options", "kind"), [
    (["a", "b"] * 30, [], "2 classes"),
    ([1, 2, 3] * 20, [], "3 classes"),
    ([1.0, 2.0, None] * 20, [], "2 classes"),
    ([True, False] * 30, [], "2 classes"),
    ([1, 2, 3] * 20, ["--task", "numbers"], "numbers"),
    (list(range(30)) * 2, [], "numbers"),
    ([0.5, 1.5] * 30, [], "numbers"),
    ([0.5, 1.5] * 30, ["--task", "classes"], "2 classes"),
])  # fmt: skip
def test_classes_and_numbers_are_told_apart(train, column, options, kind):
    pandas.DataFrame({"x": np.random.default_rng(0).normal(size=60), "t": column}).to_csv("a.csv", index=False)
    assert train("a.csv", "--target", "t", *options)[0].endswith(f"t: {kind}")


def test_notes_say_what_is_left_out(train, table):
    frame = flowers()
    frame.insert(0, "id", range(1, N + 1))
    frame["name"] = [f"plant {i}" for i in range(N)]
    frame.loc[0, "species"] = None
    frame.to_csv(table, index=False)
    lines = train(table, "--target", "species")
    assert "note: 1 rows without a value of 'species' are left out" in lines
    assert "note: left out, because no value is in 1 % of the rows, or for its type: name" in lines
    frame.dropna().to_csv(table, index=False)
    frame.assign(id=range(N)).to_csv(table, index=False)
    assert not any("'id'" in line for line in train(table, "--target", "species", "--ignore", "id"))


def test_a_column_that_numbers_the_rows_is_left_out(train, table):
    flowers().to_csv(table)  # with the index
    assert "note: column 'column 1' numbers the rows, and is left out" in train(table, "--target", "species")


def test_the_options_of_a_table_reach_its_columns(run, train):
    rows = [f"{i % 3},{'unknown' if i % 4 == 0 else i},{i % 2}" for i in range(N)]
    with open("a.csv", "w") as file:
        file.write("\n".join(rows))
    options = ["--no-header", "--missing", "unknown", "--categories", "column 1"]
    train("a.csv", "--target", "column 3", *options, "--save", "net")
    assert load("net").column_names == [
        "column 1=0", "column 1=1", "column 1=2", "column 2", "column 2 is missing"
    ]  # fmt: skip
    assert len(run("predict", "net", "a.csv", "--no-header")) == N + 1


def test_same_seed_same_result_and_another_split_with_another(train, table):
    lines = [train(table, "--target", "species", "--quiet", "--seed", seed)[0] for seed in (1, 1, 2)]
    results = [line.split("seconds")[0] for line in lines]
    assert results[0] == results[1] != results[2]


def test_balanced_classes_find_more_of_a_rare_one(run):
    rng = np.random.default_rng(0)
    rare = rng.random(600) < 0.1
    pandas.DataFrame({"x": rng.normal(size=600) + rare, "t": np.where(rare, "yes", "no")}).to_csv("a.csv", index=False)
    found = []
    for options in ([], ["--class-weight", "balanced"]):
        lines = run("train", "a.csv", "--target", "t", "--epochs", 20, *options)
        found.append(int(next(line for line in lines if re.match(r" +yes ", line)).split()[1]))
        hint = [line for line in lines if line.startswith("The classes are unequal")]
        assert bool(hint) == (not options)
    assert found[0] < found[1]


def test_what_is_written_is_a_log_a_plot_and_a_report(train, table):
    for package in ("matplotlib", "jinja2"):
        pytest.importorskip(package)
    train(table, "--target", "species", "--log", "log.csv", "--plot", "a.svg", "--report", "a.html", "--quiet")
    assert [epoch.number for epoch in read_history("log.csv")] == [1, 2]
    with open("log.csv") as file:
        assert next(csv.reader(file)) == ["epoch", "loss", "val_loss", "val_accuracy", "seconds"]
    with open("a.html", encoding="utf-8") as page, open("a.svg", encoding="utf-8") as plot:
        assert "colour=red" in page.read() and "<svg" in plot.read()


def test_a_plot_of_numbers_has_no_accuracy(train):
    pytest.importorskip("matplotlib")
    pandas.DataFrame({"x": np.arange(60) * 0.37 % 1, "t": np.arange(60) / 7}).to_csv("a.csv", index=False)
    train("a.csv", "--target", "t", "--plot", "a.svg", "--quiet")
    with open("a.svg", encoding="utf-8") as plot:
        assert "accuracy" not in plot.read()


def test_a_training_that_stopped_continues_from_its_checkpoint_to_the_same_end(run, table):
    options = [table, "--target", "species", "--quiet", "--hidden", 8, "--patience", 3, "--lr", 0.05]
    (whole,) = run("train", *options)
    run("train", *options, "--checkpoint", "run.ckpt", "--epochs", 4)
    (resumed,) = run("train", *options, "--checkpoint", "run.ckpt")
    assert resumed.split("seconds")[0] == whole.split("seconds")[0]


# --- pictures


@pytest.fixture
def pictures():
    """A folder of pictures of two digits."""
    image = pytest.importorskip("PIL.Image")
    digits = data.digits().train
    for label, name in ((0, "zero"), (1, "one")):
        (path := Path("digits in png") / name).mkdir(parents=True)
        for i, pixels in enumerate(digits.x[digits.t == label][:30]):
            image.fromarray(pixels).save(path / f"{i}.png")
    return "digits in png"


def test_a_folder_of_pictures_is_learned_and_pictures_are_predicted(run, pictures):
    lines = run("train", pictures, "--save", "net", "--hidden", 16)
    assert float(next(filter(None, map(LAST.fullmatch, lines)))[1]) > 0.8
    head, *rows = run("predict", "net", pictures)
    assert head == "sample,class,output" and len(rows) == 60
    assert rows[0].startswith("digits in png/one/0.png,one,")
    assert run("predict", "net", f"{pictures}/zero/3.png")[1].startswith("digits in png/zero/3.png,zero,")
    assert run("evaluate", "net", pictures)[0].endswith("samples 12")


def test_pictures_that_are_dark_on_light_are_pointed_out_and_can_be_inverted(run, pictures, train, capsys):
    image = pytest.importorskip("PIL.Image")
    train(pictures, "--save", "net")
    with image.open(f"{pictures}/zero/3.png") as opened:
        image.fromarray(255 - np.asarray(opened)).save("paper.png")
    assert main(["predict", "net", "paper.png"]) == 0
    assert "the background is light, but was dark" in (error := capsys.readouterr().err) and "--invert" in error
    assert main(["predict", "net", "paper.png", "--invert"]) == 0
    assert capsys.readouterr().err == ""


def test_a_broken_picture_is_skipped_if_asked_for(train, pictures, refusal):
    with open(f"{pictures}/one/1.png", "r+b") as file:
        file.truncate(60)
    assert "one/1.png is a broken picture" in refusal(pictures)
    lines = train(pictures, "--skip-broken")
    assert any(re.match(r"note: left out: .*one/1.png is a broken picture", line) for line in lines)


def test_folders_train_and_test_are_the_parts(train, pictures, run, capsys):
    shutil.copytree(pictures, "all/train")
    shutil.copytree(pictures, "all/test", ignore=shutil.ignore_patterns("1*.png"))
    assert "48 to train on, 12 for validation, 38 to test on" in train("all", "--save", "net")[0]
    assert run("evaluate", "net", "all")[0].endswith("samples 38")
    assert capsys.readouterr().err == ""


# --- arrays and published data sets


@pytest.mark.parametrize("names", [
    ("x", "t"), ("X", "y"), ("data", "target"), ("images", "labels"), ("x_train", "y_train"),
    ("train_images", "train_labels"),
])  # fmt: skip
def test_arrays_are_found_by_their_names(train, run, names):
    digits = data.digits().train[:100]
    np.savez("a.npz", **dict(zip(names, digits, strict=True)))
    assert "64 to train on, 16 for validation, 20 to test on; 10 classes" in train("a.npz", "--save", "net")[0]
    assert run("evaluate", "net", "a.npz")[0].endswith("samples 20")
    assert len(run("predict", "net", "a.npz")) == 101


def test_the_parts_of_a_file_are_kept(train, run):
    x, t = data.digits().train[:100]
    names = np.array(["even", "odd"])[t % 2]
    np.savez("a.npz", x_train=x, y_train=names, x_val=x[:30], y_val=names[:30], x_test=x[:7], y_test=names[:7])
    assert "100 to train on, 30 for validation, 7 to test on; 2 classes" in train("a.npz", "--save", "net")[0]
    assert load("net").class_names == ["even", "odd"]
    assert run("evaluate", "net", "a.npz")[0].endswith("samples 7")


def test_a_folder_of_idx_files_is_read(train, run, here):
    x, t = data.digits().train[:100]
    for part, count in (("train", 100), ("t10k", 9)):
        (here / f"{part}-images-idx3-ubyte").write_bytes(idx_bytes(x[:count]))
        (here / f"{part}-labels-idx1-ubyte").write_bytes(idx_bytes(t[:count]))
    assert "80 to train on, 20 for validation, 9 to test on; 10 classes" in train(".", "--save", "net")[0]
    assert run("evaluate", "net", ".")[0].endswith("samples 9")


def test_targets_that_are_numbers_are_learned_from_arrays(train):
    np.savez("a.npz", x=np.random.default_rng(0).normal(size=(50, 3)), y=np.linspace(0, 1, 50))
    assert train("a.npz")[0].endswith("; numbers")


def test_the_digits_remember_their_split(train, run, refusal, error_line):
    train("digits", "--seed", 3, "--save", "net")
    assert run("evaluate", "net") == run("evaluate", "net", "digits") == run("evaluate", "net", "digits", "--seed", 3)
    error = error_line(main(["evaluate", "net", "digits", "--seed", "4"]))
    assert "--seed 4 is another split than that of the training, 3" in error


def test_a_training_script_remembers_the_split_too(run, capsys):
    assert script("digits", data.digits, ["--quiet", "--epochs", "1", "--seed", "5", "--save", "net"]) == 0
    result = capsys.readouterr().out.split("  epochs")[0]
    assert run("evaluate", "net") == [f"{result}  samples 360"]


# --- what is refused


@pytest.mark.parametrize(("arguments", "message"), [
    ([], "say which column to predict: --target NAME; the columns of flowers.csv are length, colour, width, species"),
    (["--target", "name"], "flowers.csv has no column 'name'; its columns are length, colour, width, species"),
    (["--target", "species", "--ignore", "id"], "flowers.csv has no column 'id'"),
    (["--target", "species", "--task", "numbers"], "column 'species' holds "),
    (["--target", "length", "--task", "classes"], "a class needs 3 samples"),
    (["--target", "width", "--class-weight", "balanced"], "--class-weight is for classes"),
    (["--target", "species", "--size", "8"], "--size is for folders of pictures, but flowers.csv is a table"),
    (["--target", "species", "--hidden", "0"], "must be an integer of at least 1"),
    (["--target", "species", "--dropout", "1"], "Dropout"),
    (["--target", "species", "--optimizer", "adamax"], "unknown optimizer 'adamax'"),
    (["--target", "species", "--save", "no/net"], "the folder no does not exist"),
    (["--target", "species", "--checkpoint-every", "2"], "--checkpoint-every needs --checkpoint FILE"),
    (["--target", "species", "--encoding", "klingon"], "unknown encoding 'klingon'"),
])  # fmt: skip
def test_wrong_options_are_refused(refusal, table, arguments, message):
    assert message in refusal(table, *arguments)


@pytest.mark.parametrize(("text", "message"), [
    ("x,t\n" + "1,a\n2,a\n" * 10, "there is one class only, 'a'; expected at least two to tell apart"),
    ("x,t\n" + "1,a\n2,b\n" * 10 + "3,c\n", "too few have 'c' (1); remove these rows, or join these classes to others"),
    ("x,t\n" + "1,a\n2,b\n" * 4, "there are 8 samples; expected at least 10"),
    ("x,t\n" + "1,\n" * 10, "the target 't' has no value"),
    ("t\n" + "a\nb\n" * 10, "has no column besides 't'"),
    ("x,t\n" + "1,a\nmany,b\n2,a\n" * 10, "numbers, but 'many' in row"),
    ("x,x,t\n1,2,a\n", "has 2 columns 'x'"),
    ("", "is empty"),
    ("\x00\x01", "is no text"),
])  # fmt: skip
def test_tables_that_cannot_be_learned_from_are_refused(refusal, here, text, message):
    (here / "a.csv").write_text(text)
    assert message in refusal("a.csv", "--target", "t")


def test_sources_that_are_none_are_refused(refusal, here):
    (here / "empty").mkdir()
    (here / "a.xlsx").write_bytes(b"PK\x03\x04")
    np.savez("a.npz", weights=np.zeros(3))
    np.savez("b.npz", x=np.zeros((20, 3)))
    np.savez("c.npz", x=np.zeros((20, 3)), y=np.zeros(19))
    assert "no such file or folder: nowhere; expected a CSV or Parquet file" in refusal("nowhere")
    assert "empty holds no picture; expected a sub-folder for each class" in refusal("empty")
    assert "a.xlsx is a file of a spreadsheet program; save it as CSV" in refusal("a.xlsx", "--target", "t")
    assert "a.npz holds weights; expected x and t" in refusal("a.npz")
    assert "b.npz has no targets; expected x and t" in refusal("b.npz")
    assert "20 inputs, but 19 targets" in refusal("c.npz")


def test_pictures_without_classes_are_refused(refusal, pictures):
    assert "holds 30 pictures, but no sub-folder with some" in refusal(f"{pictures}/one")


@pytest.fixture
def saved(train, table):
    train(table, "--target", "species", "--save", "net", "--quiet")
    return "net"


@pytest.mark.parametrize(("command", "text", "message"), [
    ("predict", "length,width\n1,2\n", "the table lacks 1 of 3 columns: 'colour'; it has 'length', 'width'"),
    ("predict", "length,width,colour\n1,long,red\n", "column 'width' holds 'long' in row 1, expected a number"),
    ("evaluate", "length,width,colour\n1,2,red\n", "has no column 'species'; its columns are length, width, colour"),
    ("evaluate", "length,width,colour,species\n1,2,red,oak\n", "hold oak, which the network does not know"),
])  # fmt: skip
def test_tables_that_do_not_fit_a_saved_network_are_refused(saved, here, error_line, command, text, message):
    (here / "a.csv").write_text(text)
    assert message in error_line(main([command, saved, "a.csv"]))


def test_values_that_training_did_not_know_are_pointed_out(saved, here, capsys):
    (here / "a.csv").write_text("length,width,colour\n1,2,Red\n")
    assert main(["predict", saved, "a.csv"]) == 0
    assert capsys.readouterr().err == "note: column 'colour' holds Red, which were rare or unknown in training\n"
