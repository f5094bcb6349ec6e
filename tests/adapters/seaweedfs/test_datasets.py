"""Dataset versions in a bucket, each machine with a folder of its own in front of it."""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path

import pytest
from tests.adapters.seaweedfs.server import BUCKET, SECRET, Seaweed
from tests.data.test_kill import kill_child

from trimtab.data.store.home import Home
from trimtab.data.store.versions import DatasetStore
from trimtab.errors import TemporaryError, TrimtabError
from trimtab.records.objects import BucketObjects, keeps_one_of_two
from trimtab.testing.datasets import (
    LATER,
    PICTURES,
    TRIPS,
    DatasetStoreSuite,
    collect_all,
    hours,
    linear,
    pictures,
    trips,
)

pytestmark = pytest.mark.component

_CHILD = """
import lance, os, polars, pathlib
from trimtab.data.store.home import Home
from trimtab.testing.datasets import collect_all
print("ready", flush=True)
collect_all(Home(pathlib.Path({folder!r}), {url!r}, os.environ), {steps!r})
"""


class TestBucket(DatasetStoreSuite):
    server: Seaweed

    @pytest.fixture(autouse=True)
    def _served(self, seaweed: Seaweed) -> None:
        self.server = seaweed

    def home(self, folder: Path, machine: str = "one") -> Home:
        return Home(folder / machine, f"s3://{BUCKET}/{folder.parent.name}/{folder.name}", self.server.environment)

    def test_it_keeps_one_of_two(self, tmp_path: Path) -> None:
        objects = BucketObjects(f"s3://{BUCKET}/{tmp_path.name}", self.server.environment)
        assert keeps_one_of_two(objects)
        assert objects.sizes("") == {}

    def test_a_flipped_byte_of_any_object_is_found(self, tmp_path: Path) -> None:
        """Whatever kind of object it is in, and whoever else still has copies."""
        for spec in (TRIPS, PICTURES):
            store = DatasetStore(self.home(tmp_path), spec)
            if spec is TRIPS:
                store.collect(trips(0, 300), until=hours(300), now=LATER)
            else:
                store.collect(pictures({f"{n}": bytes([n]) * 99 for n in range(40)}), until=LATER, now=LATER)
            below = f"{tmp_path.parent.name}/{tmp_path.name}/{spec.name}"
            objects = BucketObjects(f"s3://{BUCKET}/{below}", self.server.environment)
            intact = store.read(digests=True)
            dice = random.Random(11)
            found: dict[str, int] = {}
            for name, size in objects.sizes("").items():
                clean = objects.get(name)
                assert clean is not None
                for _ in range(8):
                    at = dice.randrange(size)
                    objects.put(name, clean[:at] + bytes([clean[at] ^ (1 << dice.randrange(8))]) + clean[at + 1 :])
                    fresh = DatasetStore(self.home(tmp_path, "three"), spec)
                    kind = name.split("/")[-2]
                    try:
                        if not fresh.verify().sound:
                            found[kind] = found.get(kind, 0) + 1
                        else:
                            assert fresh.read(digests=True).equals(intact), name
                    except TrimtabError:
                        found[kind] = found.get(kind, 0) + 1
                objects.put(name, clean)
            assert found["data"] >= 3
            if spec is PICTURES:
                assert found["packs"] == 8
            assert DatasetStore(self.home(tmp_path, "four"), spec).verify().sound

    def test_wrong_keys_and_a_dead_server_are_told_without_the_keys(self, tmp_path: Path) -> None:
        wrong = self.server.environment | {"AWS_SECRET_ACCESS_KEY": "not-the-secret-of-the-tests"}
        dead = self.server.environment | {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
        for environ, kinds in ((wrong, (TrimtabError,)), (dead, (TemporaryError,))):
            home = Home(tmp_path / "x", f"s3://{BUCKET}/{tmp_path.name}", environ)
            with pytest.raises(kinds) as raised:
                DatasetStore(home, TRIPS).collect(trips(0, 5), until=hours(5), now=LATER)
            for text in (str(raised.value), repr(raised.value), raised.value.hint):
                assert SECRET not in text
                assert "not-the-secret" not in text

    def test_of_two_first_commits_one_is_done_again(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The other one commits right after this one has seen that nothing is there."""
        one, two = self.store(tmp_path), self.store(tmp_path, machine="two")
        place, asked = two._table.place, list[bool]()

        def seen_before() -> bool:
            asked.append(True)
            if len(asked) == 1:
                one.collect(trips(0, 5), until=hours(5), now=LATER)
                return False
            return bool(place.mark())

        monkeypatch.setattr(place, "exists", seen_before)
        two.collect(trips(3, 10), until=hours(10), now=LATER)
        assert [version.rows for version in linear(self.store(tmp_path))] == [5, 10]

    @pytest.mark.parametrize("kills", [5, pytest.param(50, marks=pytest.mark.slow)])
    @pytest.mark.timeout(600)
    def test_killed_at_any_instant_and_run_again(self, tmp_path: Path, kills: int) -> None:
        """A writer dies, another machine goes on; it ends with what an undisturbed one has."""
        steps = tuple(range(2, 102, 2))
        collect_all(Home(tmp_path / "whole"), steps)
        whole = DatasetStore(tmp_path / "whole", TRIPS)
        dice = random.Random(5)
        url = f"s3://{BUCKET}/{tmp_path.parent.name}/{tmp_path.name}"
        reached = []
        for number in range(kills):
            script = _CHILD.format(folder=str(tmp_path / f"machine-{number % 3}"), url=url, steps=steps)
            kill_child(script, 0.05 + 1.5 / kills * dice.random(), self.server.environment)
            store = self.store(tmp_path, machine="looks")
            current = store.current()
            reached.append(current.rows if current is not None else 0)
            assert current is None or store.verify().sound
        assert reached == sorted(reached), "what was committed stays"
        assert reached[0] < whole.version().rows, "the kills fell into the work"
        collect_all(self.home(tmp_path, "last"), steps)
        store = self.store(tmp_path)
        assert [version.fact for version in linear(store)] == [version.fact for version in whole.versions()]
        assert store.read(digests=True).equals(whole.read(digests=True))

    def test_old_versions_are_let_go_and_what_stays_is_whole(self, tmp_path: Path) -> None:
        collect_all(self.home(tmp_path), range(24, 121, 12))
        store = self.store(tmp_path)
        versions = store.versions()
        store.tag("kept", versions[1].id)
        store.create_branch("try", versions[3].id)
        told = store.let_go(timedelta(0), {}, now=LATER, dry=True)
        done = store.let_go(timedelta(0), {}, now=LATER)
        assert told.versions == done.versions == tuple(v.id for n, v in enumerate(versions[:-1]) if n not in (1, 3))
        assert done.bytes > 0
        fresh = self.store(tmp_path, machine="two")
        assert [version.id for version in fresh.versions()] == [versions[n].id for n in (1, 3, -1)]
        assert all(fresh.verify(version.id).sound for version in fresh.versions())
        assert fresh.on("try").verify().sound

    def test_nothing_new_is_found_beside_the_bucket(self, tmp_path: Path) -> None:
        """A copy of the newest rows lies on this machine, and counts only while the bucket has moved on by nothing."""
        store = DatasetStore(self.home(tmp_path), TRIPS)
        store.collect(trips(0, 50), until=hours(50), now=LATER)
        store.remember()
        again = DatasetStore(self.home(tmp_path), TRIPS)
        assert again.collect(trips(49, 50), until=hours(51), now=LATER) is None
        assert not again._table.opened
        DatasetStore(self.home(tmp_path, "two"), TRIPS).collect(trips(50, 60), until=hours(60), now=LATER)
        late = DatasetStore(self.home(tmp_path), TRIPS)
        current = late.current()
        assert current is not None
        assert current.rows == 60
