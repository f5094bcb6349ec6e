"""Dataset versions in a bucket, each machine with a folder of its own in front of it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from tests.adapters.seaweedfs.server import BUCKET, SECRET, Seaweed

from trimtab.data.store.home import Home
from trimtab.data.store.versions import DatasetStore
from trimtab.errors import TemporaryError, TrimtabError
from trimtab.records.objects import BucketObjects, keeps_one_of_two
from trimtab.testing.datasets import LATER, PICTURES, TRIPS, DatasetStoreSuite, hours, pictures, trips

pytestmark = pytest.mark.component


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
