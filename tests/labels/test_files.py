"""The embedded tool keeps the port's promises, whatever stands in its files."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trimtab.labels.files import FileTool
from trimtab.labels.port import Item, LabelTool
from trimtab.labels.spec import LabelsSpec
from trimtab.testing.labels import LabelToolSuite


class TestFileTool(LabelToolSuite):
    def open(self, spec: LabelsSpec, folder: Path) -> LabelTool:
        return FileTool(spec, folder)

    def say(self, spec: LabelsSpec, folder: Path, person: str, item: str, value: Any) -> None:
        line = {"id": f"{person} {item}", "item": item, "annotator": person, "value": value}
        with (folder / "labels" / "said.ndjson").open("a") as file:
            file.write(json.dumps(line | {"at": datetime.now(UTC).isoformat()}) + "\n")

    def test_a_task_that_a_killed_process_had_half_written_is_written_anew(self, tmp_path: Path) -> None:
        spec = self.spec(tmp_path)
        items = [Item(item=f"i{n}", shown={"n": n}) for n in range(3)]
        self.open(spec, tmp_path).push(items[:2])
        path = tmp_path / "labels" / "tasks.ndjson"
        path.write_bytes(path.read_bytes()[:-7])
        assert self.open(spec, tmp_path).push(items).added == 2
        assert [json.loads(line)["item"] for line in path.read_text().splitlines()] == ["i0", "i1", "i2"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.one_of(st.binary(max_size=30).map(lambda b: b.replace(b"\n", b"")), st.just(b'{"item": 1}')), max_size=6
    )
)
def test_whatever_stands_there_is_told_or_refused(tmp_path: Path, lines: list[bytes]) -> None:
    spec = LabelsSpec(kind="class", data="d", column="c", classes=("yes", "no"))
    (tmp_path / "labels").mkdir(exist_ok=True)
    (tmp_path / "labels" / "said.ndjson").write_bytes(b"".join(line + b"\n" for line in lines))
    found = FileTool(spec, tmp_path).pull()
    assert len(found.annotations) == sum(bool(line.strip()) for line in lines)
    assert all(a.state == "refused" and a.reason for a in found.annotations)
