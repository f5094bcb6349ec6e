"""`trimtab data`: names, branches, rows by hand, and what is let go, without touching what a model stands on."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Cli, Place, is_live, row


def newest(cli: Cli, place: Place, name: str = "readings") -> str:
    """The id of the newest version."""
    return str(cli("data", "show", place, name, "--json").json[-1]["id"])


def test_a_branch_is_collected_into_and_merged(cli: Cli, lived: Place, tmp_path: Path) -> None:
    trunk = newest(cli, lived)
    assert "has no branch" in cli("data", "branch", lived, "readings").out
    assert f"begins at {trunk[:10]}" in cli("data", "branch", lived, "readings", "try").out
    whole = next(path for path in lived.folder.glob("*.csv") if "reading" in path.read_text(encoding="utf-8"))
    head = whole.read_text(encoding="utf-8").splitlines()[0]
    more = tmp_path / "more.csv"
    more.write_text(f"{head}\n{row('by-hand-1')}\n{row('by-hand-2')}\n")
    ran = cli("data", "collect", lived, "readings@try", more)
    assert "2 rows added" in ran.out, ran.said
    assert newest(cli, lived) == trunk
    diff = cli("data", "diff", lived, "readings@try", trunk[:10])
    assert "by-hand-1" in diff.out, diff.said
    assert max(map(len, diff.out.splitlines())) <= 100
    assert cli("data", "verify", lived, "readings@try").code == 0
    listed = cli("data", "branch", lived, "readings", "--json").json
    assert [one["name"] for one in listed] == ["try"]
    assert "1 versions of try" in cli("data", "merge", lived, "readings", "try").out
    assert newest(cli, lived) == newest(cli, lived, "readings@try") != trunk
    assert "has all of try already" in cli("data", "merge", lived, "readings", "try").out
    assert "is gone" in cli("data", "branch", lived, "readings", "try", "--delete").out
    wrong = cli("data", "show", lived, "readings@try")
    assert wrong.code != 0
    assert "there is no branch 'try'" in wrong.said
    assert cli("run", lived).code == 0
    is_live(cli, lived)


def test_a_name_keeps_a_version_and_gc_lets_the_others_go(cli: Cli, lived: Place) -> None:
    first = newest(cli, lived)
    for number in range(3):
        lived.append(row(f"more-{number}"))
        assert cli("data", "collect", lived, "readings").code == 0
    versions = [version["id"] for version in cli("data", "show", lived, "readings", "--json").json]
    assert versions[0] == first
    assert f"good is {versions[1][:10]}" in cli("data", "tag", lived, "readings", "good", versions[1][:12]).out
    assert cli("data", "tag", lived, "readings", "--json").json["good"]["id"] == versions[1]
    told = cli("data", "gc", lived, "readings", "--keep", "0 s", "--dry-run")
    assert "would free" in told.out, told.said
    assert "model" in told.out
    assert "tag good" in told.out
    assert len(cli("data", "show", lived, "readings", "--json").json) == len(versions)
    done = cli("data", "gc", lived, "readings", "--keep", "0 s", "--json").json["readings"]
    left = [version["id"] for version in cli("data", "show", lived, "readings", "--json").json]
    assert left == [versions[0], versions[1], versions[-1]]
    assert done["versions"] == versions[2:-1]
    for version in left:
        assert cli("data", "verify", lived, "readings", version[:12]).code == 0
    assert "is no name any more" in cli("data", "tag", lived, "readings", "good", "--delete").out
    assert cli("run", lived).code == 0
    is_live(cli, lived)


def test_what_is_wrong_is_told_in_a_line(cli: Cli, lived: Place, tmp_path: Path) -> None:
    for words, said in (
        (("gc", lived), "--keep"),
        (("gc", lived, "--keep", "soon"), "is no duration"),
        (("checkout", lived, "readings", tmp_path / "out"), "has no media"),
        (("branch", lived, "readings", "a b"), "cannot name a branch"),
        (("merge", lived, "readings", "none"), "there is no branch 'none'"),
        (("tag", lived, "readings", "v-x"), "cannot name a version"),
        (("export", lived, "readings", f"dvc:{tmp_path}/x"), "is in no DVC repository"),
    ):
        ran = cli("data", *words)
        assert ran.code != 0, words
        assert said in ran.said, ran.said
