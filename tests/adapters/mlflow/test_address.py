"""What may be written as `mlflow:...` in a declaration."""

from __future__ import annotations

import pytest

from trimtab.adapters.mlflow.calls import PASSWORD, TOKEN, USER, Calls, address_of
from trimtab.errors import DeclarationError


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("https://mlflow.example.org/team/", "https://mlflow.example.org/team"),
        ("http://[::1]:5000/", "http://[::1]:5000"),
    ],
)
def test_addresses(text: str, found: str) -> None:
    assert address_of(text, {}) == found


def test_without_an_address_it_is_that_of_the_environment() -> None:
    assert address_of("", {"MLFLOW_TRACKING_URI": "https://mlflow.example.org"}) == "https://mlflow.example.org"


@pytest.mark.parametrize("text", ["", "mlruns", "sqlite:///mlflow.db", "http://", "http://host:port", "databricks"])
def test_what_is_no_server_is_refused(text: str) -> None:
    with pytest.raises(DeclarationError, match="names no server of MLflow"):
        address_of(text, {})


def test_keys_in_the_address_are_refused() -> None:
    with pytest.raises(DeclarationError, match="holds keys") as refused:
        address_of("https://ann:secret@mlflow.example.org", {})
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("keys", [{TOKEN: "secret"}, {USER: "ann", PASSWORD: "secret"}])
def test_keys_never_go_over_a_line_that_others_can_read(keys: dict[str, str]) -> None:
    with pytest.raises(DeclarationError, match="without encryption") as refused:
        Calls("http://mlflow.example.org", keys)
    assert "secret" not in str(refused.value)
    for sound in ("https://mlflow.example.org", "http://127.0.0.1:5000"):
        Calls(sound, keys).close()
