"""What each verb shows of a system that has lived a little, for people and for programs."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from msgspec.structs import replace
from tests.cli.conftest import Cli, Place, row

from trimtab.records.facts import VerdictsGiven
from trimtab.wiring.place import open_place


@pytest.fixture
def grown(cli: Cli, lived: Place) -> Place:
    """Two dataset versions, one of them with a row put aside."""
    lived.grow(2)
    lived.append(row("bad", load="500"))
    assert cli("run", lived).code == 0
    return lived


def test_check_tells_the_scope(cli: Cli, fresh: Place) -> None:
    ran = cli("check", fresh)
    assert ran.code == 0, ran.said
    for words in (
        "pump-alarm (binary_classification): An hour ahead, warn the crew",
        "quality.roc_auc >= 0.7       gate, live",
        "data.completeness >= 0.99    data",
        "EUR per 1,000 predictions:",
        "for always yes",
        "for a perfect model; yes from a score of 0.2",
        "1 min each (by [model] time_limit)",
        "1,500 rows",
        "48 a day",
        "! line 16: resources.memory is first seen when a release is live",
    ):
        assert words in ran.out, words
    assert not (fresh.folder / ".trimtab").exists(), "looking leaves nothing behind"
    found = cli("check", fresh, "--json").json
    assert found["problem"] == ""
    positives = sum(line.endswith(",1") for line in fresh.rows())
    assert found["scope"]["value"]["perfect"] == pytest.approx(positives / 1500 * 40_000)
    assert "not known without data" in cli("check", fresh, "--no-data").out


def test_check_knows_the_last_training(cli: Cli, lived: Place) -> None:
    assert "each (by the last training)" in cli("check", lived).out
    found = cli("check", lived, "--json").json["scope"]["training"]
    measured = cli("models", "list", lived, "--json").json[0]["measured"]["resources.train_time"]
    assert found["minutes"] == pytest.approx(measured / 60)


def test_status_tells_what_is_live(cli: Cli, lived: Place) -> None:
    ran = cli("status", lived)
    assert ran.code == 0
    model = cli("status", lived, "--json").json["live"]["model"]
    assert ran.out.splitlines()[0].startswith(f"pump-alarm: r-001 (model {model[:10]}) is live since 20")
    assert "3 met, 2 unknown" in ran.out
    assert "? quality.roc_auc: nothing was predicted" in ran.out


def test_what_a_release_was_excused_from_is_told_with_it(cli: Cli, lived: Place, tmp_path: Path) -> None:
    with open_place(str(lived), None, create=False) as place:
        given = place.ledger.last(VerdictsGiven, prefix="verdicts:release:r-001:")
        assert given is not None
        first, *rest = given.fact.verdicts
        let_off = replace(first, status="unknown", excused="the live model does not hold it on the same rows either")
        again = replace(given.fact, verdicts=(let_off, *rest))
        place.ledger.append(f"{given.key}-again", again, at=given.at)
    words = f"{let_off.metric} >= 0.7: the live model does not hold it on the same rows either"
    assert f"? the gate let r-001 through without {words}" in cli("status", lived).out.replace("\n  ", " ")
    (found,) = cli("status", lived, "--json").json["excused"]["r-001"]
    assert found["metric"] == let_off.metric
    page = tmp_path / "report.html"
    assert cli("report", lived, "--out", page).code == 0
    assert "unknown, excused: the live model does not hold it on the same rows either" in page.read_text("utf-8")


def test_status_fails_when_a_requirement_is_broken(cli: Cli, lived: Place) -> None:
    lived.edit("trimtab.toml", '"<= 30 d"', '"<= 30 s"')
    assert cli("run", lived).code == 1
    ran = cli("status", lived)
    assert (ran.code, "1 broken" in ran.out) == (1, True)
    assert "✗ data.freshness: " in ran.out


def test_a_system_is_found_from_within_its_folder(cli: Cli, lived: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    there = cli("status", lived).out
    monkeypatch.chdir(lived.folder)
    assert cli("status").out == cli("status", "trimtab.toml").out == there
    monkeypatch.chdir("/")
    elsewhere = cli("status", lived, "--state", lived.folder / ".trimtab").out
    assert elsewhere == there


def test_state_beside_the_shell_and_not_the_system(
    cli: Cli, fresh: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = cli("run", fresh, "--state", "kept")
    assert (ran.code, "is live" in ran.out, (tmp_path / "kept" / "ledger.db").is_file()) == (0, True, True), ran.said


def test_plan_changes_nothing(cli: Cli, lived: Place) -> None:
    before = cli("log", lived, "--verify", "--json").json
    assert "nothing to do: r-001 is live" in cli("plan", lived).out
    lived.edit("trimtab.toml", "C = 1.0", "C = 0.5")
    ran = cli("plan", lived)
    assert "would train: code_changed: hyper-parameters changed since the last training" in ran.out
    assert [action["verb"] for action in cli("plan", lived, "--json").json["actions"]] == ["train"]
    assert cli("log", lived, "--verify", "--json").json == before


def test_plan_of_a_system_that_never_ran(cli: Cli, fresh: Place) -> None:
    ran = cli("plan", fresh)
    assert ran.code == 0
    assert "no_model" in ran.out
    assert not (fresh.folder / ".trimtab").exists()


def test_log_is_one_line_a_fact(cli: Cli, grown: Place) -> None:
    ran = cli("log", grown, "-n", "0")
    lines = ran.out.splitlines()
    assert max(map(len, lines)) <= 100
    assert len(lines) == cli("log", grown, "--verify", "--json").json["facts"]
    assert cli("log", grown, "-n", "3").out.splitlines() == lines[-3:]
    moves = cli("log", grown, "--kind", "release_moved", "--json").json
    assert [entry["fact"]["to"] for entry in moves] == ["candidate", "live"]


def test_data(cli: Cli, grown: Place, tmp_path: Path) -> None:
    (listed,) = cli("data", "list", grown, "--json").json
    assert (listed["version"]["rows"], listed["quarantined"]) == (1502, 1)
    assert "1,502" in cli("data", "list", grown).out
    versions = cli("data", "show", grown, "readings", "--json").json
    assert [v["rows"] for v in versions] == [1500, 1502]
    first, second = (v["id"] for v in versions)
    shown = cli("data", "show", grown, "readings").out
    assert "+2  " in shown
    assert "1 invalid: load is not within 0..100" in " ".join(shown.split())
    one = cli("data", "show", grown, "readings", second[:8]).out
    assert "columns: reading, at, pump, load, outside, age, hot" in one
    difference = cli("data", "diff", grown, "readings", first[:10], "--json").json
    assert (difference["added"], difference["removed"], difference["same"]) == (2, 0, 1500)
    assert "added               2" in cli("data", "diff", grown, "readings", first, second).out
    assert cli("data", "verify", grown).out == f"readings {second[:10]}: 1,502 rows, sound\n"
    assert cli("data", "verify", grown, "readings", first).out == f"readings {first[:10]}: 1,500 rows, sound\n"
    assert cli("data", "quarantine", grown, "readings", "--json").json["rows"][0]["key"] == "bad"
    out = tmp_path / "rows.parquet"
    assert cli("data", "export", grown, "readings", out, "--version", first[:10]).code == 0
    assert pl.read_parquet(out).height == 1500


def test_damaged_data_are_named(cli: Cli, lived: Place) -> None:
    files = sorted((lived.folder / ".trimtab" / "data" / "readings" / "rows.lance" / "data").rglob("*.lance"))
    content = bytearray(files[0].read_bytes())
    content[len(content) // 3] ^= 0xFF
    files[0].write_bytes(content)
    ran = cli("data", "verify", lived)
    assert (ran.code, "damaged" in ran.out) == (1, True)


def test_models(cli: Cli, lived: Place) -> None:
    (listed,) = cli("models", "list", lived, "--json").json
    model = listed["model"]["identity"]["id"]
    assert f"{model[:10]}" in cli("models", "list", lived).out
    shown = cli("models", "show", lived, "r-001").out
    assert shown.startswith(f"{model}: r-001 is live since")
    assert shown == cli("models", "show", lived, model[:6]).out == cli("models", "show", model, lived).out
    for words in ("model.py, scaling.py; ", "scikit-learn ", "C = 1.0", "quality.roc_auc", "|contribution|, log-odds"):
        assert words in shown
    importance = cli("models", "show", lived, "r-001", "--json").json["importance"]
    assert list(importance.values()) == sorted(importance.values(), reverse=True)
    assert {feature["name"] for feature in listed["model"]["bundle"]["signature"]["features"]} == set(importance)
    same = cli("models", "diff", lived, "r-001", "--json").json
    assert same["metrics"][0]["moved"] is False
    assert (same["files"], same["versions"], same["weak"]) == ([], {}, [])
    assert not any(one["moved"] for one in same["requirements"])
    said = cli("models", "diff", lived, "r-001").out
    for title in ("code     the same", "params   the same", "data     the same", "with     the same"):
        assert title in said
    ran = cli("models", "reproduce", lived, "r-001")
    assert (ran.code, ran.out) == (0, f"{model}: identical; scores differ by 0 at most\n")


def test_without_declared_inputs_every_column_is_one(cli: Cli, fresh: Place) -> None:
    fresh.edit("trimtab.toml", 'inputs = ["pump", "load", "outside", "age"]\n', "")
    assert cli("run", fresh).code == 0
    (listed,) = cli("models", "list", fresh, "--json").json
    inputs = [column["name"] for column in listed["model"]["bundle"]["signature"]["inputs"]]
    assert sorted(inputs) == ["age", "load", "outside", "pump"]


def test_a_model_of_rows_that_changed_since_is_told_apart(cli: Cli, fresh: Place) -> None:
    """A label that came later completes its row: the training that did not know it cannot be made again."""
    lines = (fresh.folder / "readings.csv").read_text("utf-8").splitlines()
    hidden = [lines[0], *lines[1:1400], *(line[:-1] for line in lines[1400:1450]), *lines[1450:]]
    fresh.edit("trimtab.toml", 'label_delay = "1 h"', 'label_delay = "1 h"\nlate = "20 d"')
    fresh.write("readings.csv", "\n".join(hidden) + "\n")
    assert cli("run", fresh).code == 0
    away = (fresh.folder / "scaling.py").rename(fresh.folder / "scaling.gone")
    assert cli("models", "reproduce", fresh, "r-001").code == 0, "it is made of what is kept, not of what lies there"
    away.rename(fresh.folder / "scaling.py")
    fresh.write("readings.csv", "\n".join(lines) + "\n")
    assert cli("run", fresh).code == 0
    assert cli("data", "show", fresh, "readings", "--json").json[-1]["completed"] == 50
    ran = cli("models", "reproduce", fresh, "r-001")
    assert ran.code == 1
    assert "data: these are not the rows that the model was trained on" in ran.out
    assert " validation rows then, " in ran.out


def test_report(cli: Cli, lived: Place, tmp_path: Path) -> None:
    page = tmp_path / "deep" / "page.html"
    ran = cli("report", lived, "--out", page)
    assert ran.out == f"the story of pump-alarm: {page}\n"
    assert "pump-alarm" in page.read_text("utf-8")
    default = json.loads(cli("report", lived, "--json").out)["report"]
    assert Path(default) == lived.folder / ".trimtab" / "reports" / "report.html"
    assert Path(default).read_text("utf-8") == page.read_text("utf-8")


def test_run_as_json_is_one_document(cli: Cli, lived: Place) -> None:
    found = cli("run", lived, "--json").json
    assert [done["actions"] for done in found["passes"]] == [["collect"], []]
    assert found["status"]["live"]["release"] == "r-001"


def test_at_another_moment(cli: Cli, lived: Place) -> None:
    ran = cli("run", lived, "--at", "2999-01-01T00:00Z")
    assert ran.code == 1, "in so long a time the data have gone stale"
    assert "✗ data.freshness" in ran.out
