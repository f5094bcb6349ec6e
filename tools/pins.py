"""Prints every package of the running environment with its version: the content of constraints.txt.

Run by `make pins` after the tests pass in an environment with newer packages.
"""

from __future__ import annotations

from importlib.metadata import distributions

OURS = {"trimtab", "pip", "setuptools", "wheel"}
HEADER = """\
# Every package that Trimtab's own environment holds, pinned: what the tests and the worked systems were run with.
# Written by `make pins` from a tested environment; index addresses never belong here."""


def main() -> None:
    found = {item.metadata["Name"].lower().replace("_", "-"): item.version for item in distributions()}
    print(HEADER)
    print("\n".join(sorted(f"{name}=={found[name]}" for name in found.keys() - OURS)))


if __name__ == "__main__":
    main()
