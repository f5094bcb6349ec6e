"""Addresses that people try first, as other servers have them, and which of ours they mean."""

from __future__ import annotations

_HEALTH = "`GET /v2/health/ready` says whether a release is live, `GET /v2/health/live` whether the process runs"
_DOCS = "`GET /openapi.json` lists every address, and `GET /` is a page to try the model"
_ASK = "`POST /predict` takes rows as JSON"
_FILE = "`POST /v2/models/{system}/batch` takes files of rows"
_MEANT = {
    **dict.fromkeys(("health", "healthz", "healthcheck", "live", "livez", "alive", "ready", "readyz", "ping"), _HEALTH),
    **dict.fromkeys(("v1/health", "health/live", "health/ready", "v2/health", "actuator/health"), _HEALTH),
    **dict.fromkeys(("docs", "redoc", "swagger", "swagger-ui", "openapi", "swagger.json", "api", "help"), _DOCS),
    **dict.fromkeys(("invocations", "predictions", "infer", "inference", "score", "classify"), _ASK),
    **dict.fromkeys(("api/predict", "v1/predict", "model/predict", "predict_proba"), _ASK),
    **dict.fromkeys(("batch", "predict/batch", "batch_predict"), _FILE),
    **dict.fromkeys(("explain", "v1/explain"), "`POST /predict?explain=true` tells what each feature contributed"),
    **dict.fromkeys(("stats", "statistics"), "`GET /v2/models/{system}/stats` and `GET /metrics` count"),
    "status": "`GET /trimtab/status` tells what is served and how it goes",
    **dict.fromkeys(("version", "info", "metadata", "model"), "`GET /v2/models/{system}` says what the model is"),
    **dict.fromkeys(("models", "v1/models", "v2/models"), "`POST /v2/repository/index` lists the model versions"),
}
_LONGEST = max(map(len, _MEANT))


def meant(path: str, system: str) -> str:
    """A hint at the address that is meant by `path`, of a server without it; empty where nobody knows."""
    tried = path[: _LONGEST + 2].strip("/").lower()
    if tried.startswith("v1/models/"):  # TensorFlow Serving's and KServe's first protocol
        return _ASK
    return _MEANT.get(tried, "").format(system=system)


def meanings(system: str) -> set[str]:
    """All of the hints there are."""
    return {told.format(system=system) for told in _MEANT.values()}
