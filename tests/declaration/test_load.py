"""Loading: a good declaration becomes a System; everything wrong in a bad one is told at once, with its line."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from tests.declaration.conftest import DECLARATION

from trimtab.data.spec import ColumnRule
from trimtab.declaration.load import MAX_BYTES, load
from trimtab.declaration.problems import DeclarationErrors
from trimtab.declaration.system import Incident, ReleaseStep
from trimtab.errors import DeclarationError


def line_of(fragment, text=DECLARATION):
    return text[: text.index(fragment)].count("\n") + 1


def test_a_whole_declaration(loading, folder):
    system = loading()
    assert (system.name, system.task) == ("flight-delays", "binary_classification")
    assert system.path == str((folder / "trimtab.toml").resolve())
    assert system.folder == str(folder.resolve())
    assert system.text == DECLARATION
    assert system.value.true_positive == 8.0
    assert system.value.per_training_minute == -0.05
    assert [requirement.metric for requirement in system.requirements][:3] == [
        "quality.roc_auc",
        "quality.recall",
        "serving.latency_p95",
    ]
    assert system.requirements[1].line == line_of('"quality.recall"')
    flights, weather = system.data
    assert system.labelled is flights
    assert (flights.key, weather.key) == (("flight_id",), ("origin", "hour"))
    assert (flights.label_delay, flights.predict_before) == (16 * 3600.0, 2 * 3600.0)
    assert flights.line == line_of("[[data]]")
    assert flights.valid == (
        ColumnRule(column="distance", low=0.0, high=6000.0),
        ColumnRule(column="origin", allowed=("EWR", "JFK", "LGA")),
        ColumnRule(column="dest", pattern="^[A-Z]{3}$"),
    )
    assert flights.consistent == ("scheduled_departure < scheduled_arrival",)
    (view,) = system.features
    assert (view.entity, view.ttl) == (("origin",), 3 * 3600.0)
    assert (system.model.window, system.model.holdout) == (None, 14 * 86400.0)
    assert system.model.params == {"learning_rate": 0.1, "max_leaf_nodes": 31}
    assert system.policy.release == (
        ReleaseStep(stage="shadow", rows=500),
        ReleaseStep(stage="canary", rows=500, weight=0.1),
        ReleaseStep(stage="live"),
    )
    assert system.policy.gate is True
    assert system.replay.start == datetime(2013, 3, 1, 5, tzinfo=UTC)
    assert system.replay.incidents == (Incident(at=datetime(2013, 6, 1, 5, tzinfo=UTC), code="broken_model.py"),)


def test_the_file_or_its_folder_may_be_named(loading, folder):
    assert loading() == load(folder / "trimtab.toml") == load(str(folder))


def test_defaults_stand_for_what_is_left_out(folder):
    small = """
[system]
name = "small"
problem = "A problem"
task = "regression"
[[data]]
name = "rows"
source = "rows/*.parquet"
key = "id"
time = "at"
label = "y"
[model]
code = "model.py"
"""
    (folder / "trimtab.toml").write_text(small)
    system = load(folder)
    assert system.requirements == ()
    assert system.value is None
    assert system.replay is None
    assert system.policy.retrain_on == ()
    assert system.serve.host == "127.0.0.1"


@pytest.mark.parametrize(
    ("old", "new", "at", "words"),
    [
        # unknown tables and keys, with the nearest name
        ("[system]", "[sytem]", "[system]", ["[sytem]", "unknown table", 'did you mean "system"']),
        ("[policy]", "[polcy]", "[policy]", ["[polcy]", "unknown table", 'did you mean "policy"', "serve"]),
        ("cooldown", "cooldwn", "cooldown", ['did you mean "cooldown"', "retrain_on"]),
        ('name    = "f', 'names = "f', 'name    = "f', ["[system] names", 'did you mean "name"']),
        ("ttl", "tll", "ttl", ["[[features]] tll", 'did you mean "ttl"']),
        ("label =", "lable =", "label =", ["[[data]] lable", 'did you mean "label"']),
        ("currency =", "curency =", "currency =", ['did you mean "currency"']),
        ("true_positive", "absolute_error", "true_positive", ["outcome of regression, not of binary"]),
        ("true_positive", "true_positives", "true_positive", ['did you mean "true_positive"']),
        # wrong types
        ("port = 8080", 'port = "8080"', "port", ["whole number from 0 to 65535", 'found the text "8080"']),
        ("port = 8080", "port = 99999", "port", ["found the number 99999"]),
        ("port = 8080", "port = true", "port", ["found true"]),
        ('window = "7 d"', "window = 7", 'window = "7 d"', ["expected a text", "found the number 7"]),
        ("true_positive = 8.0", 'true_positive = "8"', "true_positive", ["expected a number"]),
        ("true_positive = 8.0", "true_positive = inf", "true_positive", ["expected a number"]),
        ('key = "flight_id"', "key = 7", 'key = "flight_id"', ["a text or a list of texts"]),
        ('key = "flight_id"', 'key = ["a", "a"]', 'key = "flight_id"', ["named twice"]),
        ("params = {", "params = 3 #", "params", ["expected a table"]),
        ("max_leaf_nodes = 31", "max_leaf_nodes = nan", "params", ["finite number"]),
        ("max_leaf_nodes = 31", "max_leaf_nodes = 07:00:00", "params", ["max_leaf_nodes", "expected a text, a number"]),
        ("[serve]\nport = 8080", "[[serve]]\nport = 8080", "[serve]", ["expected a table, found a list"]),
        ("port = 8080", 'token_env = "MY TOKEN"', "port", ["environment variable"]),
        # names, tasks, currencies
        ('"flight-delays"', '"flight delays"', "name    =", ["expected a name", "a letter first"]),
        (
            "binary_classification",
            "binary_clasification",
            "task",
            ['did you mean "binary_classification"', "regression"],
        ),
        ('"USD"', '"Dollar"', "currency", ["three capital letters"]),
        ("20 USD", "20 EUR", '"value.per_1000"', ["is in EUR, but [value] counts in USD"]),
        # durations, sizes
        ('"16 h"', '"16 hours"', "label_delay", ['did you mean "16 h"']),
        ('"16 h"', '"-16 h"', "label_delay", ["negative time"]),
        ('"16 h"', '"16 MiB"', "label_delay", ["is a size"]),
        ('"14 d"\n\n[policy]', '"0 d"\n\n[policy]', "holdout", ["above zero"]),
        ('window = "all"', 'window = "ever"', 'window = "all"', ["is not a time"]),
        ('window = "all"', 'window = "14 d"', 'window = "all"', ["used up by the holdout of 14 d and the label delay"]),
        # files and sources
        ('code = "model.py"', 'code = "modle.py"', 'code = "model.py"', ["no file", 'did you mean "model.py"']),
        ('code = "model.py"', 'code = "../model.py"', 'code = "model.py"', ["leaves the folder"]),
        ("broken_model.py", "missing.py", "incidents", ['there is no file "missing.py"']),
        ("python:sources:flights", "python:source:flights", "source = ", ["no module", 'did you mean "sources"']),
        ("python:sources:flights", "python:sources", "source = ", ["does not name a module and its function"]),
        ("python:sources:flights", "pyton:sources:flights", "source = ", ['did you mean "python"']),
        ("python:sources:flights", "s3://bucket/x.parquet", "source = ", ['"s3://" is not a source']),
        ("python:sources:flights", "rows.parqet", "source = ", ["of no format", "did you mean .parquet?"]),
        ("python:sources:flights", "../rows.csv", "source = ", ["leaves the folder"]),
        # datasets and views
        ('label = "late"', 'label = "flight_id"', 'label = "late"', ["also the key or the time"]),
        (
            'source = "weather"',
            'source = "wether"',
            'source = "weather"',
            ["no [[data]] named", 'did you mean "weather"'],
        ),
        ('source = "weather"', 'source = "flights"', 'source = "weather"', ["holds the label"]),
        ('entity = "origin"', 'entity = "hour"', 'time = "hour"\nttl', ["is also the entity"]),
        ('ttl = "3 h"', 'columns = ["origin"]', "ttl", ["never a feature"]),
        ('"0 .. 6000"', '"6000 .. 0"', "valid", ["valid distance", "is empty"]),
        ('"0 .. 6000"', '"many"', "valid", ["neither a range nor a pattern"]),
        ('"/^[A-Z]{3}$/"', '"/^[A-Z/"', "valid", ["not a regular expression"]),
        ('"/^[A-Z]{3}$/"', "'/(?=x)y/'", "valid", ["look-around"]),
        ("scheduled_departure < scheduled_arrival", "a => b", "consistent", ['did you mean ">="']),
        ("scheduled_departure < scheduled_arrival", "a", "consistent", ["no comparison"]),
        ("scheduled_departure < scheduled_arrival", "a < b + 1", "consistent", ['cannot read "b + 1"']),
        # policy and replay
        ('"concept_drift"', '"conceptdrift"', "retrain_on", ['did you mean "concept_drift"']),
        ('"concept_drift"', '"requirement_broken"', "retrain_on", ["named twice"]),
        (
            '"new_rows:50%"',
            '"requirement_broken:quality.recall", "requirement_broken:quality.recall"',
            "retrain_on",
            ["named twice"],
        ),
        (
            '"requirement_broken"',
            '"requirement_broken:quality.f1"',
            "retrain_on",
            ["nothing is required of it", "recall"],
        ),
        ('window = "all"', 'baseline = "majorty"', 'window = "all"', ['did you mean "majority"']),
        (', "live"]', "]", "release", ['last step is not "live"']),
        ('"shadow:500", "canary:10%:500"', '"canary:10%:500", "shadow:500"', "release", ["shadow after canary"]),
        ('["shadow:500", "canary:10%:500", "live"]', "[]", "release", ["there is no step"]),
        ("2013-03-01T05:00:00Z", "2013-03-01T05:00:00", "start", ["has no time zone", "timezone"]),
        ("2013-03-01T05:00:00Z", '"March"', "start", ["not a moment in ISO 8601"]),
        ("2013-03-01T05:00:00Z", "2015-03-01T05:00:00Z", "end = 2014", ["is not after the start"]),
        ("2013-06-01T05:00:00Z", "2014-06-01T05:00:00Z", "incidents", ["outside of the replayed span"]),
        ('step = "1 d"', 'step = "400 d"', "step", ["longer than the whole span"]),
        ('step = "1 d"', 'timezone = "Mars/Olympus"', "step", ["not a known time zone"]),
        # requirements that this declaration gives nothing to measure
        ('"data.freshness"', '"data.fresh"', '"data.freshness"', ['did you mean "data.freshness"']),
        (">= 20 USD", ">= 9000 USD", '"value.per_1000"', ["not even 1,000 answers of the best outcome", "7999.8 USD"]),
        ('by = "carrier"', 'by = "late"', '"quality.recall"', ["is the label"]),
        ('by = "carrier"', 'by = "flight_id"', '"quality.recall"', ["is the key"]),
    ],
)
def test_each_problem_is_told_with_its_line(loading, old, new, at, words):
    with pytest.raises(DeclarationErrors) as caught:
        loading((old, new))
    (error,) = [
        error for error in caught.value.errors if all(word in f"{error.message} {error.hint}" for word in words)
    ]
    assert error.line == line_of(at)
    assert len(caught.value.errors) <= 2, str(caught.value)


def without(*fragments):
    """DECLARATION less the lines that hold one of the fragments."""
    return "\n".join(line for line in DECLARATION.split("\n") if not any(part in line for part in fragments))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (without('label = "late"', "label_delay", "predict_before"), ["no dataset has a label", "flights, weather"]),
        (
            DECLARATION.replace('key = ["origin", "hour"]', 'key = "hour"\nlabel = "x"'),
            ["a second dataset with a label"],
        ),
        (without('name = "weather"'), ["name is missing"]),
        (without('source = "weather"'), ["source is missing"]),
        (without('code = "model.py"'), ["[model]: code is missing"]),
        (without("[model]", "model.py", "params", 'window = "all"', "holdout"), ["[model] is missing"]),
        (without("problem ="), ["[system]: problem is missing"]),
        (without("end = 2014"), ["[replay]: end is missing"]),
        (
            DECLARATION.replace('name = "weather"', 'name = "flights"'),
            ["declared twice", f"line {line_of('[[data]]')}"],
        ),
        (DECLARATION + "[[features]]\n" + DECLARATION.split("[[features]]\n")[1].split("\n\n")[0], ["declared twice"]),
        (
            without("consistent =").replace('"data.freshness"       = "<= 2 d"', '"data.consistency" = ">= 0.9"'),
            ["compares no"],
        ),
        (
            without("valid =").replace('"data.freshness"       = "<= 2 d"', '"data.validity" = ">= 0.9"'),
            ["what is valid"],
        ),
        (
            DECLARATION.replace("data.completeness", "data.validity").replace('"carrier", "dest"', '"dest", "carrier"'),
            ['no rule says what is valid in "carrier"', "distance, origin, dest"],
        ),
        (without("positive = "), ["says of no outcome what it is worth"]),
        (without("[value]", "currency", "positive", "per_p", "per_t"), ["there is no [value] table"]),
        ("", ["[system] is missing"]),
        ("data = 3", ["expected a list of tables"]),
        ("data = [3]", ["expected a table, found the number 3"]),
        ("[data]\nname = 'x'", ["write [[data]] instead of [data]"]),
        ("data = []", ["there is no [[data]]"]),
    ],
)
def test_what_is_missing_or_too_much_is_told(folder, text, words):
    (folder / "trimtab.toml").write_text(text)
    with pytest.raises(DeclarationErrors) as caught:
        load(folder)
    for word in words:
        assert word in str(caught.value)


def test_all_problems_are_told_at_once_in_order(loading, folder):
    with pytest.raises(DeclarationErrors) as caught:
        loading(("0.66", "66"), ('"16 h"', '"16"'), ("model.py", "modl.py"), ("[serve]", "[srve]"), ("15 ms", "15 KB"))
    error = caught.value
    assert len(error.errors) == 6  # the incident's code is model.py's neighbour and gone as well
    lines = [found.line for found in error.errors]
    assert lines == sorted(lines)
    assert (error.path, error.line) == (folder / "trimtab.toml", lines[0])
    told = str(error).split("\n")
    assert len(told) == 6
    for line in told:
        assert re.match(rf"{re.escape(str(folder))}/trimtab\.toml:\d+: \[", line)


def test_a_metric_may_have_a_list_of_limits(loading):
    system = loading(
        ('"quality.recall"       = {', '"quality.recall" = [">= 0.6", { window = "30 d", limit = ">= 0.5" }, {'),
        ('window = "14 d" }', 'window = "14 d" }]'),
    )
    recalls = [requirement for requirement in system.requirements if requirement.metric == "quality.recall"]
    assert [(r.limit, r.by, r.window) for r in recalls] == [
        (0.6, None, None),
        (0.5, None, 30 * 86400.0),
        (0.55, "carrier", 14 * 86400.0),
    ]


def test_contradicting_limits_are_told_at_the_later_line(loading):
    with pytest.raises(DeclarationErrors) as caught:
        loading(('"quality.recall"       = {', '"quality.recall" = ["<= 0.5",\n{'), ('"14 d" }', '"14 d" }]'))
    (error,) = caught.value.errors
    assert "contradicts" in error.message
    assert error.line == line_of('"quality.recall"') + 1


def test_metrics_may_be_written_without_quotes(loading):
    quoted = loading()
    bare = loading(('"quality.roc_auc" ', "quality.roc_auc"), ('"value.per_1000" ', "value.per_1000"))
    assert bare.requirements == quoted.requirements
    assert bare.digest == quoted.digest


def test_naive_moments_take_the_declared_zone(loading):
    system = loading(
        ("2013-03-01T05:00:00Z", "2013-03-01"), ('step = "1 d"', 'step = "1 d"\ntimezone = "America/New_York"')
    )
    assert system.replay.start == datetime(2013, 3, 1, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("[system]\nname = ", 2, "Invalid value"),
        ("[system]\nname = 'a'\nname = 'b'", 3, "a key may be given once"),
        ("[a]\n[b]\n[a]", 3, "may be given once"),
        ("x = 'unclosed", 1, "not valid TOML"),
        ("a = [1,\n2,\n", 2, "at the end of the file"),
        ("a = " + "[" * 5000, 1, "not valid TOML"),
    ],
)
def test_what_is_no_toml_is_told_with_its_line(folder, text, line, words):
    (folder / "trimtab.toml").write_text(text)
    with pytest.raises(DeclarationError) as caught:
        load(folder)
    assert caught.value.line == line
    assert words in str(caught.value)


def test_what_cannot_be_read_is_told(folder):
    with pytest.raises(DeclarationError, match="no such declaration"):
        load(folder / "nowhere")
    file = folder / "trimtab.toml"
    file.write_bytes(b"[system]\nname = '\xff'")
    with pytest.raises(DeclarationError, match="not UTF-8") as caught:
        load(folder)
    assert caught.value.line == 2
    file.write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(DeclarationError, match="at most 1024 KiB"):
        load(folder)
