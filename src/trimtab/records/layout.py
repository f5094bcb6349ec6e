"""Where things lie in a system's state folder (default: `.trimtab` beside the declaration)."""

from __future__ import annotations

from pathlib import Path


class Layout:
    """Paths below one state folder; nothing is created until something is written."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ledger = root / "ledger.db"
        self.blobs = root / "blobs"
        self.data = root / "data"
        self.telemetry = root / "telemetry"
        self.serve = root / "serve"
        self.routes = self.serve / "routes.json"
        self.serve_config = self.serve / "config.json"
        self.features = self.serve / "features.db"
        self.server = self.serve / "server.json"
        self.server_lock = self.serve / "server.lock"
        self.certificate = self.serve / "certificate.pem"
        self.tokens = self.serve / "tokens.json"
        self.owner_token = self.serve / "owner.token"
        self.rates = self.serve / "rates"
        self.trainings = root / "trainings.db"
        self.work = root / "work"
        self.reports = root / "reports"
