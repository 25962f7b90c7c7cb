"""Tables as people have them: labels come out as they are, or the table is refused by the place of the cell; no row is lost."""

from __future__ import annotations

import csv
import json
import logging

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datasets.collection.findings import write_table
from datasets.groundtruth.groundtruth import Groundtruth
from datasets.groundtruth.label_cells import parsed_list
from datasets.groundtruth.values import Values
from models.errors import GroundtruthError
from tests.datasets.groundtruth.small_table import rows_of

DISCOGS = "Folk, World, & Country"
ODD = [  # name of the file, its text, and its rows
    ("discogs.csv", f'path,genre\na.mp3,"{DISCOGS}---Folk"\nb.mp3,Rock---Punk\n', {"a.mp3": [f"{DISCOGS}---Folk"], "b.mp3": ["Rock---Punk"]}),
    ("discogs.tsv", f"path\tgenre\na.mp3\t{DISCOGS}\nb.mp3\tRock\n", {"a.mp3": [DISCOGS], "b.mp3": ["Rock"]}),
    ("excel.tsv", f'path\tgenre\na.mp3\t"{DISCOGS}"\nb.mp3\tRock\n', {"a.mp3": [DISCOGS], "b.mp3": ["Rock"]}),
    ("excel.csv", f"\ufeffpath;genre\r\na.mp3;{DISCOGS}\r\nb.mp3;Rock\r\n", {"a.mp3": [DISCOGS], "b.mp3": ["Rock"]}),
    ("discogs.json", json.dumps({"a": DISCOGS, "b": "Rock"}), {"a": [DISCOGS], "b": ["Rock"]}),
    ("discogs lists.json", json.dumps({"a": [DISCOGS, "Rock"], "b": ["Rock"]}), {"a": [DISCOGS, "Rock"], "b": ["Rock"]}),
    ("objects.json", json.dumps([{"path": "a", "genre": DISCOGS}, {"path": "b", "genre": "Rock"}]), {"a": [DISCOGS], "b": ["Rock"]}),
    ("bars.csv", "path,tags\na,x|y\nb,y\n", {"a": ["x", "y"], "b": ["y"]}),
    ("bars with spaces.csv", "path,tags\na,x | y\nb,y\n", {"a": ["x", "y"], "b": ["y"]}),
    ("semicolons.csv", "path,tags\na,x;y\nb,y\n", {"a": ["x", "y"], "b": ["y"]}),
    ("semicolon and space, each alone.csv", "path,tags\na,x; y\nb,y\nc,x\n", {"a": ["x", "y"], "b": ["y"], "c": ["x"]}),
    ("semicolon and space.csv", "path,tags\na,Rock; Roll\nb,y\n", {"a": ["Rock; Roll"], "b": ["y"]}),
    ("commas.csv", 'path,tags\na,"x,y"\nb,y\n', {"a": ["x", "y"], "b": ["y"]}),
    ("thousands.csv", 'path,tags\na,"10,000 Maniacs"\nb,y\n', {"a": ["10,000 Maniacs"], "b": ["y"]}),
    ("python lists.csv", "path,tags\na,\"['x', 'y']\"\nb,\"['y']\"\nc,[]\n", {"a": ["x", "y"], "b": ["y"], "c": []}),
    ("json lists.csv", 'path,tags\na,"[""x, z"", ""y""]"\nb,"[""y""]"\n', {"a": ["x, z", "y"], "b": ["y"]}),
    ("numpy lists.csv", "path,tags\na,['x' 'y']\nb,['y']\n", {"a": ["x", "y"], "b": ["y"]}),
    ("numpy list of two lines.csv", "path,tags\na,\"['x'\n 'y']\"\nb,['y']\n", {"a": ["x", "y"], "b": ["y"]}),
    ("numbers.csv", 'path,genres\na,"[21, 10]"\nb,[10]\n', {"a": ["10", "21"], "b": ["10"]}),
    ("numpy numbers.csv", "path,genres\na,[21 10]\nb,[10]\n", {"a": ["10", "21"], "b": ["10"]}),
    ("tuples and sets.csv", "path,tags\na,\"('x', 'y')\"\nb,\"{'y'}\"\nc,set()\n", {"a": ["x", "y"], "b": ["y"], "c": []}),
    ("quotes in lists.csv", 'path,tags\na,"[""rock \'n\' roll"", \'y\']"\nb,[\'y\']\n', {"a": ["rock 'n' roll", "y"], "b": ["y"]}),
    ("lists and no list.csv", "path,tags\na,\"['x']\"\nb,\nc,nan\n", {"a": ["x"], "b": [], "c": []}),
    ("mixed lists.csv", 'path,genres\na,"[\'rock\', \'pop\']"\nb,"[21, 10]"\n', {"a": ["pop", "rock"], "b": ["10", "21"]}),
    ("brackets.csv", "path,tags\na,[untitled]\nb,(live)\n", {"a": ["[untitled]"], "b": ["(live)"]}),
    ("true.csv", "path,x,y\na,TRUE,FALSE\nb,False,True\n", {"a": ["x"], "b": ["y"]}),
    ("yes.csv", "path,x,y\na,yes,no\nb,No,YES\n", {"a": ["x"], "b": ["y"]}),
    ("floats.csv", "path,x,y\na,1.0,0.0\nb,0.0,1.00\n", {"a": ["x"], "b": ["y"]}),
    ("marks of all kinds.csv", "path,x,y\na,1,0.0\nb,no,TRUE\n", {"a": ["x"], "b": ["y"]}),
    ("other columns.csv", "path,x,disc,title\na,1,1,One\nb,0,2,Two\nc,1,3,1\n", {"a": ["x"], "b": [], "c": ["x"]}),
    ("stray quote.tsv", 'path\tlabels\n"a.mp3\trock\nb.mp3\tjazz\n', {'"a.mp3': ["rock"], "b.mp3": ["jazz"]}),
    ("heroes.tsv", 'path\tlabels\n"Heroes" - Bowie.mp3\trock\nb.mp3\t12" single\n', {'"Heroes" - Bowie.mp3': ["rock"], "b.mp3": ['12" single']}),
    ("heroes.csv", 'path,labels\n"Heroes" - Bowie.mp3,rock\nb.mp3,12" single\n', {'"Heroes" - Bowie.mp3': ["rock"], "b.mp3": ['12" single']}),
    ("quoted name.tsv", 'path\tlabels\na.mp3\trock\n"Heroes"\tjazz\n', {"a.mp3": ["rock"], '"Heroes"': ["jazz"]}),
    ("doubled quotes.tsv", 'path\tlabels\n"""Heroes"".mp3"\trock\n', {'"Heroes".mp3': ["rock"]}),
    ("all quoted.tsv", '"path"\t"labels"\n"a.mp3"\t"rock"\n', {"a.mp3": ["rock"]}),
    ("stray quote.csv", 'path,labels\n"a.mp3,rock\nb.mp3,jazz\nc.mp3,rock\n', {'"a.mp3': ["rock"], "b.mp3": ["jazz"], "c.mp3": ["rock"]}),
    ("remark of two lines.csv", 'path,labels,remark\na,rock,"one,\ntwo"\nb,jazz,\n', {"a": ["rock"], "b": ["jazz"]}),
    ("commas in the header.csv", f"\ufeffpath;Rock;{DISCOGS}\r\na;1;0\r\nb;0;1\r\n", {"a": ["Rock"], "b": [DISCOGS]}),
    ("sep.csv", "sep=;\r\npath;labels\r\na;x, y\r\nb;z\r\n", {"a": ["x, y"], "b": ["z"]}),
    ("sep tab.csv", '\ufeff"sep=\t"\npath\tlabels\na\tx\nb\ty\n', {"a": ["x"], "b": ["y"]}),
    ("words for nothing.csv", "path,genre\na,NA\nb,None\nc,nan\n", {"a": ["NA"], "b": ["None"], "c": ["nan"]}),
    ("breaks of other kinds.csv", "path,labels\na,x\x0by\nb,x\u2028y\nc,x\x85y\n", {"a": ["x\x0by"], "b": ["x\u2028y"], "c": ["x\x85y"]}),
    ("running on.csv", "path,tags\na.mp3,x,y\nb.mp3,z\n", {"a.mp3": ["x", "y"], "b.mp3": ["z"]}),
    ("mixed line ends.csv", "path,labels\r\na,x\nb,y\r\n\r\n\nc,z", {"a": ["x"], "b": ["y"], "c": ["z"]}),
    ("mac.csv", "path,labels\ra,x\rb,y\r", {"a": ["x"], "b": ["y"]}),
    ("dots.csv", "path,labels\n...And Justice.ogg,x\n...Trail/1.ogg,y\n", {"...And Justice.ogg": ["x"], "...Trail/1.ogg": ["y"]}),
]  # fmt: skip
AT_BOTH = r"at '\|', 'Folk, World\|Rock' \(line 2\) is 'Folk, World' and 'Rock'; parted at ',', .* is 'Folk' and 'World\|Rock'.*label_sep"
REFUSED = [
    ("two marks.csv", 'path,tags\na,"Folk, World|Rock"\nb,Jazz\n', AT_BOTH),
    ("two marks in two cells.csv", 'path,tags\na,"Folk, World"\nb,x|y\n', r"at ',', 'Folk, World' \(line 2\).*at '\|', 'x\|y' \(line 3\)"),
    ("two marks.json", json.dumps({"a": "x;y", "b": "x|z"}), r"hold .*entry 1"),
    ("lists beside texts.csv", "path,tags\na,['x']\nb,y\n", r"line 2 holds a list of labels, \"\['x'\]\", line 3 none: 'y'"),
    ("shortened list.csv", "path,tags\na,['x' ... 'z']\nb,['y']\n", r"line 2: the list .* is not whole"),
    ("damaged mark.csv", "path,x,y\na,1,0\nb,0,1\nc,O,1\n", "line 4, column x: the cell holds 'O'"),
    ("damaged word.csv", "path,x\na,TRUE\nb,FALSE\nc,TRU\n", "line 4, column x: the cell holds 'TRU'"),
    ("empty mark.csv", "path,x,y\na,1,0\nb,,1\nc,0,1\n", "line 3, column x: the cell is empty"),
    ("two of two.csv", "path,x,y\na,1,0\nb,0,?\n", r"line 3, column y: the cell holds '\?'"),
    ("swallowed row.csv", 'path,labels\na,"rock\nb,jazz"\nc,pop\n', "line 2: a cell in quotes goes on over line 3, which is a row"),
    ("break in a label.csv", 'path,labels\na,"rock\nroll"\nb,jazz\n', "line 2: the label 'rock.nroll' holds a line break"),
    ("tab in a path.tsv", 'path\tlabels\n"a\tb.mp3"\trock\nc\tjazz\n', "line 2: the cell '\"a' holds a tab"),
    ("comma in a path.csv", "path,labels\nSimon, Art.mp3,rock\nb.mp3,jazz\n", "line 2 has more cells .* 'Art.mp3': put the path in quotes"),
    ("comma in a quoted path.csv", "path,labels\n'a,b.mp3',rock\nb.mp3,jazz\n", "line 2 has more cells than the header"),
    ("no path.csv", "path,labels\na,x\n,y\n", "line 3: the path is empty"),
    ("no path behind sep.csv", "sep=;\npath;labels\na;x\n;y\n", "line 4: the path is empty"),
    ("break in a path.tsv", 'path\tlabels\n"a\nb.mp3"\trock\nc\tjazz\n', "line 2: the cell '\"a' holds a line break"),
]  # fmt: skip


def written(folder, name: str, text: str):
    path = folder / name
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.write(text)
    return path


@pytest.mark.parametrize(("name", "text", "rows"), ODD, ids=[name for name, *_ in ODD])
def test_an_odd_table_is_read_right(tmp_path, name, text, rows):
    found = {key: sorted(labels) for key, labels in rows_of(Groundtruth.read(written(tmp_path, name, text))).items()}
    assert found == {key: sorted(labels) for key, labels in rows.items()}


@pytest.mark.parametrize(("name", "text", "message"), REFUSED, ids=[name for name, *_ in REFUSED])
def test_what_cannot_be_known_is_refused_by_its_place(tmp_path, name, text, message):
    with pytest.raises(GroundtruthError, match=message) as caught:
        Groundtruth.read(written(tmp_path, name, text))
    assert name in str(caught.value)


def test_a_chosen_mark_counts_and_known_names_tell_it(tmp_path):
    path = written(tmp_path, "t.csv", 'path,tags\na,"Folk, World|Rock"\nb,Rock\n')
    assert Groundtruth.read(path, separator="|").labels == ["Folk, World", "Rock"]
    assert Groundtruth.read(path, separator="").labels == ["Folk, World|Rock", "Rock"]
    assert Groundtruth.read(path, separator=",").labels == ["Folk", "Rock", "World|Rock"]
    assert Groundtruth.read(path, labels=["Rock", "Folk, World"]).counts.tolist() == [2, 1]


def test_a_guess_is_one_line_of_the_log_with_an_example(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    path = written(tmp_path, "t.csv", "path,tags\na,x;y\nb,y;z\nc,z\n")
    Groundtruth.read(path)
    (line,) = [one for one in caplog.messages if "parted" in one]
    assert line == f"{path}: labels are parted at ';', as line 2 shows: 'x;y' is 'x' and 'y'. label_separator says another."
    caplog.clear()
    Groundtruth.read(written(tmp_path, "u.csv", f'path,tags\na,"{DISCOGS}"\nb,y\n'))
    (line,) = [one for one in caplog.messages if "taken whole" in one]
    Groundtruth.read(written(tmp_path, "v.csv", "path,tags\na,x,y\nb,z\n"))
    assert "more cells than the header have several labels, as line 2 shows: 'x', 'y'" in caplog.text
    assert "such as 'Folk, World, & Country' (line 2)" in line
    assert "say label_separator=','" in line


def test_values_keep_names_that_begin_with_a_quote(tmp_path):
    values = Values.read(written(tmp_path, "v.tsv", 'path\tbpm\n"Heroes".mp3\t120\n"b\t90\n'))
    assert values.keys == ['"Heroes".mp3', '"b']
    assert values.numbers.ravel().tolist() == [120, 90]


@pytest.mark.parametrize(
    ("cell", "labels"),
    [
        ("['a', 'b']", ["a", "b"]), ('["a"]', ["a"]), ("['a' 'b']", ["a", "b"]), ("[1, 2]", ["1", "2"]), ("[1 2]", ["1", "2"]),
        ("[1., 2.]", ["1", "2"]),
        ("[]", []), ("()", []), ("('a',)", ["a"]), ("array(['a', 'b'], dtype=object)", ["a", "b"]), (r"['a\'b']", ["a'b"]), ("[u'a']", ["a"]),
        ("['a, b', \"c'd\"]", ["a, b", "c'd"]), ('["\\u00e9"]', ["é"]), ("['a'", None), ("[a]", None), ("a", None), ("[['a']]", None),
        ("['a'b]", None),         ("", None), ("[None]", None), ("['a', '']", ["a"]),
    ],
)  # fmt: skip
def test_lists_in_cells(cell, labels):
    assert parsed_list(cell) == labels


# ---- any label set

LABEL = st.text(st.sampled_from("ab,;|\"'[](){} \\é漢---&/=\n\t0."), min_size=1, max_size=7).filter(lambda text: text.strip())
SETS = st.lists(st.lists(LABEL, max_size=4, unique=True), min_size=1, max_size=6).filter(lambda rows: any(rows))
KEEP = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


FORMS = [
    ("t.csv", "utf-8", {}),
    ("t.csv", "utf-8", {"lineterminator": "\n", "quoting": csv.QUOTE_ALL}),
    ("t.csv", "utf-8-sig", {"delimiter": ";"}),
    ("t.tsv", "utf-8", {"delimiter": "\t"}),
]


def same_or_refused(path, rows) -> None:
    try:
        truth = Groundtruth.read(path)
    except GroundtruthError as error:
        assert "line" in str(error) or "no labels" in str(error)  # noqa: PT017
        return
    found = rows_of(truth)
    assert {key: sorted(labels) for key, labels in found.items()} == {f"{i}.wav": sorted(row) for i, row in enumerate(rows)}


@KEEP
@given(rows=SETS)
def test_any_label_set_survives_our_own_writer(tmp_path, rows):
    truth = Groundtruth.from_rows([f"{i}.wav" for i in range(len(rows))], rows)
    write_table(tmp_path / "t.csv", truth)
    back = Groundtruth.read(tmp_path / "t.csv")
    assert (back.keys, back.labels) == (truth.keys, truth.labels)
    np.testing.assert_array_equal(back.matrix(), truth.matrix())


@KEEP
@given(rows=SETS, json_lists=st.booleans(), form=st.sampled_from(FORMS))
def test_any_label_set_survives_lists_or_is_refused(tmp_path, rows, json_lists, form):
    """As pandas writes a column of lists (their Python form), and as Excel quotes cells: with semicolons, BOM and CRLF."""
    name, encoding, style = form
    with open(tmp_path / name, "w", encoding=encoding, newline="") as file:
        table = csv.writer(file, **style)
        table.writerow(["path", "labels"])
        table.writerows([f"{i}.wav", json.dumps(row) if json_lists else repr(row)] for i, row in enumerate(rows))
    same_or_refused(tmp_path / name, rows)


@KEEP
@given(
    labels=st.lists(LABEL.filter(lambda text: "|" not in text and text == text.strip()), min_size=1, max_size=6), form=st.sampled_from(FORMS[:3])
)  # fmt: skip
def test_single_labels_survive_or_are_refused(tmp_path, labels, form):
    _, encoding, style = form
    with open(tmp_path / "t.csv", "w", encoding=encoding, newline="") as file:
        table = csv.writer(file, **style)
        table.writerow(["path", "labels"])
        table.writerows([f"{i}.wav", label] for i, label in enumerate(labels))
    try:
        truth = Groundtruth.read(tmp_path / "t.csv", separator="")
    except GroundtruthError as error:
        assert "line" in str(error)  # noqa: PT017
        return
    assert list(rows_of(truth).values()) == [[label] for label in labels]
