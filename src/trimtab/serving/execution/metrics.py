"""Counters of a running server, and their text for Prometheus."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

BOUNDS = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_MOST_RELEASES = 64
_EXACT = 64


class Run(NamedTuple):
    """One run of a model, with its seconds: `before` it (the user's features(), decoding), and in the `model`. `waited`
    is how long its `requests` took to get there, added up."""

    rows: int = 0
    requests: int = 0
    waited: float = 0.0
    before: float = 0.0
    model: float = 0.0


class Counts:
    """What one release did since the server started. Rows it scored and could not score; requests that were not run:
    `refused` because too much waited, `expired` for their deadline, `cancelled` for their callers had gone."""

    __slots__ = (
        "asked", "batches", "buckets", "cancelled", "executions", "expired", "failed", "infer_seconds", "input_seconds",
        "last", "refused", "rows", "seconds",
    )  # fmt: skip

    def __init__(self) -> None:
        self.rows: Counter[str] = Counter()
        self.failed = 0
        self.executions = 0  # runs of the model: several requests may share one
        self.last = 0  # when it last answered, milliseconds since 1970
        self.refused = 0
        self.expired = 0
        self.cancelled = 0
        self.seconds = 0.0
        self.input_seconds = 0.0  # in the user's features(), in decoding images and sounds
        self.infer_seconds = 0.0  # in the model, and in the user's postprocess()
        self.asked = [0.0] * 4  # requests that were run, and of each all that it waited, and its run took
        self.batches: dict[int, list[float]] = {}  # runs by their rows: how many, seconds before the model and in it
        self.buckets = [0] * (len(BOUNDS) + 1)

    def worked(self, run: Run) -> None:
        """Adds one run."""
        rows, requests, waited, before, model = run
        self.input_seconds += before
        self.infer_seconds += model
        asked = self.asked
        asked[0] += requests
        asked[1] += waited
        asked[2] += before * requests
        asked[3] += model * requests
        size = rows if rows <= _EXACT else 1 << (rows - 1).bit_length()  # bounds how many sizes there are
        batch = self.batches.get(size)
        if batch is None:
            batch = self.batches[size] = [0, 0.0, 0.0]
        batch[0] += 1
        batch[1] += before
        batch[2] += model

    def time(self, latencies: Sequence[float]) -> None:
        """Adds requests that it answered."""
        self.seconds += sum(latencies)
        least, most = bisect_left(BOUNDS, min(latencies)), bisect_left(BOUNDS, max(latencies))
        if least == most:  # what is answered at once has come at about the same time
            self.buckets[least] += len(latencies)
            return
        for latency in latencies:
            self.buckets[bisect_left(BOUNDS, latency)] += 1


class Metrics:
    """All counters; the releases that were routed last are kept, to bound how many series there are."""

    def __init__(self) -> None:
        self.requests: Counter[int] = Counter()
        self.feedback: Counter[str] = Counter()
        self.load_errors = 0
        self.shadow_dropped = 0
        self.repeated = 0
        self.explained: Counter[str] = Counter()
        self.looked_up: dict[str, Counter[str]] = {}
        self.lookup_seconds = 0.0
        self._releases: dict[str, Counts] = {}

    def of(self, release: str) -> Counts:
        """The counts of a release."""
        counts = self._releases.get(release)
        if counts is None:
            if len(self._releases) >= _MOST_RELEASES:
                del self._releases[next(iter(self._releases))]
            counts = self._releases[release] = Counts()
        return counts

    def route(self, releases: Iterable[str]) -> None:
        """They are in force now: others are forgotten first."""
        for release in releases:
            self.of(release)
            self._releases[release] = self._releases.pop(release)

    def text(self, gauges: Mapping[str, tuple[str, float]]) -> str:
        """The Prometheus text; `gauges` maps a name to what it means and its value."""
        lines: list[str] = []

        def family(name: str, kind: str, meaning: str) -> None:
            lines.extend((f"# HELP {name} {meaning}", f"# TYPE {name} {kind}"))

        family("trimtab_requests_total", "counter", "Requests answered, by status code.")
        lines += [f'trimtab_requests_total{{code="{code}"}} {n}' for code, n in sorted(self.requests.items())]
        family("trimtab_request_seconds", "histogram", "Time from a whole request to its answer, by release.")
        for release, counts in self._releases.items():
            name, total = _escape(release), 0
            for bound, count in zip((*map(str, BOUNDS), "+Inf"), counts.buckets, strict=True):
                total += count
                lines.append(f'trimtab_request_seconds_bucket{{release="{name}",le="{bound}"}} {total}')
            lines.append(f'trimtab_request_seconds_sum{{release="{name}"}} {counts.seconds:.6f}')
            lines.append(f'trimtab_request_seconds_count{{release="{name}"}} {total}')
        family("trimtab_rows_total", "counter", "Rows scored, by release and stage.")
        for release, counts in self._releases.items():
            name = _escape(release)
            lines += [
                f'trimtab_rows_total{{release="{name}",stage="{stage}"}} {count}'
                for stage, count in sorted(counts.rows.items())
            ]
        family("trimtab_failed_rows_total", "counter", "Rows that a release could not score.")
        lines += [
            f'trimtab_failed_rows_total{{release="{_escape(release)}"}} {counts.failed}'
            for release, counts in self._releases.items()
        ]
        family("trimtab_compute_seconds_total", "counter", "Time before the model (features, decoding) and in it.")
        for release, counts in self._releases.items():
            name = f'trimtab_compute_seconds_total{{release="{_escape(release)}"'
            lines.append(f'{name},part="input"}} {counts.input_seconds:.6f}')
            lines.append(f'{name},part="infer"}} {counts.infer_seconds:.6f}')
        family("trimtab_requests_not_run_total", "counter", "Requests that were not scored, by release and reason.")
        for release, counts in self._releases.items():
            name = f'trimtab_requests_not_run_total{{release="{_escape(release)}"'
            lines += [f'{name},reason="{why}"}} {getattr(counts, why)}' for why in ("refused", "expired", "cancelled")]
        family("trimtab_repeated_rows_total", "counter", "Rows asked again that got the answer they had before.")
        lines.append(f"trimtab_repeated_rows_total {self.repeated}")
        family("trimtab_looked_up_rows_total", "counter", "Rows completed from feature views, by what was found.")
        lines += [
            f'trimtab_looked_up_rows_total{{view="{_escape(view)}",found="{kind}"}} {counts[kind]}'
            for view, counts in self.looked_up.items()
            for kind in ("fresh", "stale", "missing")
        ]
        family("trimtab_lookup_seconds_total", "counter", "Time that looking features up took.")
        lines.append(f"trimtab_lookup_seconds_total {self.lookup_seconds:.6f}")
        family("trimtab_explained_rows_total", "counter", "Rows whose answers were to be explained.")
        lines += [
            f'trimtab_explained_rows_total{{outcome="{kind}"}} {self.explained[kind]}' for kind in ("explained", "left")
        ]
        family("trimtab_feedback_total", "counter", "Truths that came back, by whether their id was known.")
        lines += [f'trimtab_feedback_total{{id="{kind}"}} {n}' for kind, n in sorted(self.feedback.items())]
        family("trimtab_model_load_errors_total", "counter", "Generations of routes that could not be put in force.")
        lines.append(f"trimtab_model_load_errors_total {self.load_errors}")
        family("trimtab_shadow_dropped_rows_total", "counter", "Rows that a shadow release never got to score.")
        lines.append(f"trimtab_shadow_dropped_rows_total {self.shadow_dropped}")
        for name, (meaning, value) in gauges.items():
            family(name, "counter" if name.endswith("_total") else "gauge", meaning)
            lines.append(f"{name} {value:g}" if value < 1e6 else f"{name} {value:.0f}")
        return "\n".join(lines) + "\n"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
