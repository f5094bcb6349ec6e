"""From what is declared to what a server is told, kept in `serve/config.json`."""

from __future__ import annotations

import hashlib
import ipaddress
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from trimtab.errors import DeclarationError, PermanentError
from trimtab.records.durable import write_atomically
from trimtab.records.layout import Layout
from trimtab.records.server import ServerConfig, ServerSettings
from trimtab.serving.access.tokens import weakness
from trimtab.serving.spec import ServeSpec

_LOG = logging.getLogger("trimtab.serving")


def server_config(
    spec: ServeSpec,
    system: str,
    environment: Mapping[str, str],
    tokens: Path | None = None,
    folder: Path | None = None,
) -> ServerConfig:
    """The configuration of a server for `system`. A token is taken from the environment variable `spec.token_env`;
    only its digest goes on. `tokens` is the file of those that were made, `folder` where relative paths begin. Raises
    DeclarationError where the address is open to others and no token is asked for, and where the one in the environment
    can be guessed: behind a proxy a loopback address is open too."""
    token = environment.get(spec.token_env, "").strip()
    if token and (why := weakness(token)):
        raise DeclarationError(
            f"the token in the environment variable {spec.token_env} {why}",
            line=spec.line,
            hint=f"unset it and let `trimtab token add NAME` make one, or set {spec.token_env}=$(openssl rand -hex 32)",
        )
    settings = {name: getattr(spec, name) for name in ServerSettings.__struct_fields__}
    settings |= {"tls_cert": _located(spec.tls_cert, folder), "tls_key": _located(spec.tls_key, folder)}
    digest = hashlib.sha256(token.encode()).hexdigest() if token else ""
    config = ServerConfig(system=system, token_digest=digest, **settings)
    if not is_safe(config, tokens):
        raise DeclarationError(
            f"host {spec.host} is open to other machines and there is no token",
            line=spec.line,
            hint=f"`trimtab token add NAME`, or set the environment variable {spec.token_env}, or use host 127.0.0.1",
        )
    return config


def _located(path: str, folder: Path | None) -> str:
    return str(((folder or Path()) / path).absolute()) if path else ""


def is_safe(config: ServerConfig, tokens: Path | None) -> bool:
    """Whether only this machine can reach the server, or a token is asked for."""
    return bool(config.token_digest) or is_private(config.host) or (tokens is not None and tokens.exists())


def is_private(host: str) -> bool:
    """Whether only this machine can reach that address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def write_config(path: Path, config: ServerConfig) -> None:
    """Keeps the configuration; only its owner may read it."""
    write_atomically(path, msgspec.json.format(msgspec.json.encode(config)), mode=0o600)


def read_config(path: Path, tokens: Path | None = None) -> ServerConfig:
    """The configuration; `tokens` is the file of those that were made. Raises PermanentError when it is missing, cannot
    be understood or is not safe."""
    try:
        config = msgspec.json.decode(path.read_bytes(), type=ServerConfig)
    except (OSError, msgspec.MsgspecError) as error:
        raise PermanentError(f"{path} cannot be read: {error}") from error
    if not is_safe(config, tokens):
        raise PermanentError(f"host {config.host} is open to other machines and there is no token")
    return config


def read_configs(layouts: Sequence[Layout]) -> dict[Layout, ServerConfig]:
    """The configurations of state folders that one server serves. Of several, those that cannot be read are left out,
    and the log says so. Raises PermanentError when none can, when two are for systems of one name, and when one without
    tokens would be open to others at the address of the first."""
    found: dict[Layout, ServerConfig] = {}
    for layout in layouts:
        try:
            config = read_config(layout.serve_config, layout.tokens)
        except PermanentError as error:
            if len(layouts) == 1:
                raise
            _LOG.error("what lies in %s is not served: %s", layout.root, error.in_one_line())
            continue
        if any(one.system == config.system for one in found.values()):
            raise PermanentError(f"two of the systems are named {config.system!r}")
        found[layout] = config
    if not found:
        raise PermanentError("none of the systems can be served", hint="the lines above say why")
    host = next(iter(found.values())).host  # all of them are reached at the address of the first
    for layout, config in found.items():
        if not is_safe(msgspec.structs.replace(config, host=host), layout.tokens):
            raise PermanentError(
                f"system {config.system!r} would be open to other machines at host {host}, and has no token",
                hint="`trimtab token add` makes one for it",
            )
    return found
