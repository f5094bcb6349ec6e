"""Which parts of the user's code a function reaches: functions, classes, constants and modules, followed statically.

Where following is not certain (exec, computed getattr, star imports, a module passed around) the whole module is
taken, and the whole folder where modules are imported by computed names. Better a retraining too many than a model
that is stale without a word.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from trimtab.errors import DeclarationError
from trimtab.training.code import syntax

LARGEST_FILE = 256 * 2**20
"""Bytes of a file that the code names: it is kept with each model, and read again whenever the code is looked at."""


@dataclass(frozen=True)
class Target:
    """Where an imported name leads: a module of the user's (`path` below the root), one of its members, a folder of
    modules, or (`path` None) a library."""

    path: str | None
    member: str = ""
    library: str = ""

    def __str__(self) -> str:
        return f"{self.path or self.library}:{self.member}"


@dataclass
class Module:
    """One source file: its statements, and where its imports lead."""

    path: str
    content: bytes
    body: list[ast.stmt]
    binds: dict[str, list[int]] = field(default_factory=dict)
    links: dict[str, list[Target]] = field(default_factory=dict)
    stars: list[Target] = field(default_factory=list)
    own_names: set[str] = field(default_factory=set)


@dataclass
class Reached:
    """What was found: `parts` are the statements (positions) of each module that count, `links` its imported names
    that are used, `files` other files that its strings name."""

    entry: str
    modules: dict[str, Module]
    parts: dict[str, set[int]]
    links: dict[str, dict[str, str]]
    libraries: set[str]
    files: dict[str, bytes]


class Follower:
    """Follows names through the modules below `root`. Raises DeclarationError for a file that does not parse."""

    def __init__(self, entry: Path, root: Path) -> None:
        self._root = root.resolve()
        self._entry = entry.resolve()
        if not self._entry.is_file():
            raise DeclarationError(f"there is no file {entry}", hint="`code` of [model] names a Python file")
        if not self._entry.is_relative_to(self._root):
            raise DeclarationError(
                f"{entry} lies outside of {root}", hint="keep the model's code beside the declaration"
            )
        self._bases = list(dict.fromkeys((self._entry.parent, self._root)))
        self._modules: dict[str, Module] = {}
        self._executed: set[str] = set()
        self._seen: set[tuple[str, tuple[str, ...]]] = set()
        self._parts: dict[str, set[int]] = {}
        self._links: dict[str, dict[str, str]] = {}
        self._libraries: set[str] = set()
        self._files: dict[str, bytes] = {}

    def follow(self, functions: Sequence[str]) -> Reached:
        """What the entry module's `functions` reach; those that it does not define are left out."""
        entry = self._relative(self._entry)
        self._execute(entry)
        for name in functions:
            self._name(entry, (name,))
        self._include_subclasses()
        return Reached(
            entry=entry,
            modules=self._modules,
            parts=self._parts,
            links=self._links,
            libraries=self._libraries,
            files=self._files,
        )

    def defines(self, function: str) -> bool:
        """True when the entry module gives `function` a meaning, by itself or by import."""
        module = self._module(self._relative(self._entry))
        return function in module.binds or function in module.links

    # Files and modules

    def _relative(self, path: Path) -> str:
        return path.relative_to(self._root).as_posix()

    def _module(self, path: str) -> Module:
        if path in self._modules:
            return self._modules[path]
        content = (self._root / path).read_bytes()
        try:
            body = ast.parse(content, filename=path).body
        except (SyntaxError, ValueError) as error:
            line = getattr(error, "lineno", 0) or 0
            raise DeclarationError(f"not valid Python: {error}", path=self._root / path, line=line) from error
        module = Module(path=path, content=content, body=body)
        self._modules[path] = module
        self._parts[path] = set()
        self._links[path] = {}
        for position, statement in enumerate(body):
            if syntax.never_runs(statement):
                continue
            for found in syntax.imports_at_import(statement):
                self._link(module, found, module.links, module.stars)
            if not isinstance(statement, ast.Import | ast.ImportFrom):
                for name in syntax.bindings(statement):
                    module.binds.setdefault(name, []).append(position)
        own = {name for name, targets in module.links.items() if any(t.path is not None for t in targets)}
        module.own_names = own | set(module.binds)
        return module

    def _find(self, dotted: str, bases: Sequence[Path] | None = None) -> str | None:
        """The file (or folder) below the root that an import of `dotted` means; None for a library."""
        steps = dotted.split(".") if dotted else []
        for base in bases or self._bases:
            place = base.joinpath(*steps)
            for candidate in (place.with_name(place.name + ".py") if steps else None, place / "__init__.py"):
                if candidate is not None and candidate.is_file() and candidate.is_relative_to(self._root):
                    return self._relative(candidate)
            if place.is_dir() and place.is_relative_to(self._root) and any(place.glob("*.py")):
                return self._relative(place)
        return None

    def _below(self, path: str, name: str) -> str | None:
        """The submodule `name` of a package or folder."""
        place = self._root / path
        if place.name == "__init__.py":
            return self._find(name, [place.parent])
        return self._find(name, [place]) if place.is_dir() else None

    # Imports

    def _link(
        self,
        module: Module,
        node: ast.Import | ast.ImportFrom,
        links: dict[str, list[Target]],
        stars: list[Target],
    ) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                meant = alias.name if alias.asname else top
                links.setdefault(alias.asname or top, []).append(Target(self._find(meant), library=meant))
            return
        origin = self._origin(module, node)
        for alias in node.names:
            if alias.name == "*":
                stars.append(origin)
            elif origin.path is None:
                target = Target(None, member=alias.name, library=origin.library)
                links.setdefault(alias.asname or alias.name, []).append(target)
            else:
                found = links.setdefault(alias.asname or alias.name, [])
                below = self._below(origin.path, alias.name)
                if below is not None:
                    found.append(Target(below))
                if below is None or origin.path != module.path:  # a package that imports its own module is no answer
                    found.append(Target(origin.path, member=alias.name))

    def _origin(self, module: Module, node: ast.ImportFrom) -> Target:
        if not node.level:
            return Target(self._find(node.module or ""), library=node.module or "")
        base = (self._root / module.path).parent
        for _ in range(node.level - 1):
            base = base.parent
        return Target(self._find(node.module or "", [base]), library=node.module or "")

    def _run_imports(self, module: Module, node: ast.Import | ast.ImportFrom) -> None:
        """What importing does: every module on the way is run."""
        names = [alias.name for alias in node.names]
        if isinstance(node, ast.Import):
            for dotted in names:
                self._run_path(dotted, None)
            return
        origin = self._origin(module, node)
        if origin.path is None:
            self._library(origin.library)
            return
        if not node.level:
            self._run_path(node.module or "", None)
        self._run(origin.path)
        for name in names:
            below = self._below(origin.path, name)
            if below is not None:
                self._run(below)

    def _run_path(self, dotted: str, bases: Sequence[Path] | None) -> None:
        steps = dotted.split(".")
        if self._find(steps[0], bases) is None:
            self._library(dotted)
            return
        for count in range(1, len(steps) + 1):
            found = self._find(".".join(steps[:count]), bases)
            if found is not None:
                self._run(found)

    def _run(self, path: str) -> None:
        if path.endswith(".py"):
            self._execute(path)

    def _library(self, dotted: str) -> None:
        top = dotted.partition(".")[0]
        if top and top not in sys.stdlib_module_names:
            self._libraries.add(top)

    # Following

    def _include_subclasses(self) -> None:
        """Where a class that counts is told of its subclasses, every class that has a base counts."""
        before = -1
        while before != (count := sum(map(len, self._parts.values()))):
            before = count
            reached = [self._modules[path].body[i] for path, parts in self._parts.items() for i in parts]
            if not any(syntax.watches_subclasses(statement) for statement in reached):
                return
            for module in list(self._modules.values()):
                for position, statement in enumerate(module.body):
                    if isinstance(statement, ast.ClassDef) and statement.bases:
                        self._include(module, position)

    def _execute(self, path: str) -> None:
        """Importing a module runs its imports and whatever it does besides binding names."""
        if path in self._executed:
            return
        self._executed.add(path)
        module = self._module(path)
        for position, statement in enumerate(module.body):
            if syntax.never_runs(statement):
                continue
            for found in syntax.imports_at_import(statement):
                self._run_imports(module, found)
            if syntax.acts(statement, module.own_names):
                self._include(module, position)

    def _whole(self, path: str) -> None:
        if not path.endswith(".py"):
            for found in sorted((self._root / path).glob("*.py")):
                self._whole(self._relative(found))
            return
        self._execute(path)
        module = self._module(path)
        for position, statement in enumerate(module.body):
            if not isinstance(statement, ast.Import | ast.ImportFrom) and not syntax.never_runs(statement):
                self._include(module, position)
        for name in module.links:
            self._name(path, (name,))
        for star in module.stars:
            self._to(star, ())

    def _include(self, module: Module, position: int) -> None:
        if position in self._parts[module.path]:
            return
        self._parts[module.path].add(position)
        used = syntax.uses(module.body[position])
        local: dict[str, list[Target]] = {}
        stars: list[Target] = []
        for found in used.imports:
            self._link(module, found, local, stars)
            self._run_imports(module, found)
        for chain in sorted(used.chains):
            for target in local.get(chain[0], ()):
                self._to(target, chain[1:])
            self._name(module.path, chain)
        for name in sorted(used.modules):
            self._run_path(name, None)
            self._to(Target(self._find(name), library=name), ())
        for text in sorted(used.strings):
            self._file(module, text)
        if used.whole_folder:
            for file in sorted(self._root.rglob("*.py")):
                relative = self._relative(file)
                if not any(step.startswith(".") for step in Path(relative).parts):
                    self._whole(relative)
        elif used.whole_module:
            self._whole(module.path)

    def _name(self, path: str, chain: tuple[str, ...]) -> bool:
        """Follow a name, and the attributes taken from it, as seen from module `path`; False when it has no meaning."""
        module = self._module(path)
        name = chain[0]
        known = name in module.binds or name in module.links
        if (path, chain) in self._seen:
            return known
        self._seen.add((path, chain))
        for position in module.binds.get(name, ()):
            self._include(module, position)
        for target in module.links.get(name, ()):
            self._links[path][name] = str(target)
            self._to(target, chain[1:])
        if not known:
            for star in module.stars:
                if star.path is not None:
                    self._whole(star.path)
        return known

    def _to(self, target: Target, rest: tuple[str, ...]) -> None:
        if target.path is None:
            self._library(target.library)
            return
        self._run(target.path)
        chain = (target.member, *rest) if target.member else rest
        if not chain:
            self._whole(target.path)
            return
        if target.path.endswith(".py") and self._name(target.path, chain):
            return
        below = self._below(target.path, chain[0])
        if below is not None:
            self._to(Target(below), chain[1:])
        elif target.path.endswith(".py"):
            self._whole(target.path)  # an attribute that no statement gives: it is made in some other way

    def _file(self, module: Module, text: str) -> None:
        """A string that names a file beside the module or the declaration: its content counts. Raises DeclarationError
        for one that is too large to be kept: a model that is not known by it would go stale without a word."""
        if "\n" in text or "\0" in text:
            return
        for base in ((self._root / module.path).parent, self._root):
            place = (base / text).resolve()
            try:
                there = place.is_relative_to(self._root) and place.is_file()
                size = place.stat().st_size if there else 0
            except OSError:
                continue
            if there and place.suffix != ".py":
                if size > LARGEST_FILE:
                    raise DeclarationError(
                        f"{module.path} names {self._relative(place)}, of {size / 2**20:,.0f} MiB; a file that is part "
                        f"of the code has {LARGEST_FILE // 2**20} MiB at most",
                        path=self._root / module.path,
                        hint="install such weights as a package, whose version counts, or keep them outside the folder",
                    )
                self._files[self._relative(place)] = place.read_bytes()
                return
