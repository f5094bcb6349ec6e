"""The `telemetry_` keys of `[serve]`."""

from __future__ import annotations

import pytest
from tests.declaration.conftest import Loader

from trimtab.declaration.problems import DeclarationErrors
from trimtab.records.telemetry import TelemetryPolicy


def test_the_defaults(loading: Loader) -> None:
    assert loading().serve.telemetry == TelemetryPolicy()


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ('telemetry_sync = "always"', TelemetryPolicy(sync=0.0)),
        ('telemetry_sync = "never"', TelemetryPolicy(sync=None)),
        ('telemetry_sync = "250 ms"', TelemetryPolicy(sync=0.25)),
        ('telemetry_full = "answer"', TelemetryPolicy(full="answer")),
        ("telemetry_inputs = 0", TelemetryPolicy(inputs=0.0)),
        ('telemetry_inputs = "12.5%"', TelemetryPolicy(inputs=0.125)),
        ('telemetry_sample = "1"', TelemetryPolicy(sample=1.0)),
        ('telemetry_large = "1 MiB"', TelemetryPolicy(large=2**20)),
        ('telemetry_keep = "180 d"', TelemetryPolicy(keep=180 * 86_400.0)),
        ('telemetry_keep = "all"', TelemetryPolicy()),
    ],
)
def test_what_is_written_is_meant(loading: Loader, written: str, meant: TelemetryPolicy) -> None:
    assert loading(("port = 8080", written)).serve.telemetry == meant


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ('telemetry_sync = "sometimes"', '"sometimes" is not a time'),
        ("telemetry_sync = 1", 'hint: write telemetry_sync = "1 s", "always" or "never"'),
        ('telemetry_sync = "0 s"', "expected a duration above zero"),
        ('telemetry_full = "drop"', 'unknown value "drop"'),
        ("telemetry_inputs = 1.5", "expected a share from 0 to 1, found the number 1.5"),
        ('telemetry_inputs = "150%"', "expected a share from 0 to 1"),
        ('telemetry_inputs = "much"', '"much" is not a ratio'),
        ("telemetry_sample = true", "expected a share from 0 to 1, found true"),
        ('telemetry_keep = "5 MiB"', "is a size"),
        ('telemetry_keeps = "5 d"', 'telemetry_keeps: unknown key; did you mean "telemetry_keep"'),
    ],
)
def test_what_is_wrong_is_said(loading: Loader, written: str, said: str) -> None:
    with pytest.raises(DeclarationErrors) as caught:
        loading(("port = 8080", written))
    (error,) = caught.value.errors
    assert said in str(error), str(error)
