"""What one statement of a module binds, uses and does, read from its syntax alone."""

from __future__ import annotations

import ast
import copy
from dataclasses import dataclass, field
from typing import TypeVar

_Body = TypeVar("_Body", bound=ast.AST)

# Decorators and calls that only make what they are given; any other may register or change something elsewhere.
_PURE_DECORATORS = {"functools", "dataclasses", "abc", "typing", "contextlib", "enum"}
_PURE_NAMES = {"staticmethod", "classmethod", "property", "lru_cache", "cache", "wraps", "dataclass", "contextmanager"}
_WHOLE_MODULE = {"exec", "eval", "globals", "vars", "locals"}
_IMPORTERS = {"import_module", "__import__"}
_COMPOUND = (ast.If, ast.Try, ast.TryStar)
_ACTING = (
    ast.AugAssign, ast.Delete, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Assert, ast.Raise,
    ast.Match,
)  # fmt: skip


@dataclass
class Uses:
    """Names that a statement reads. A chain is a name and the attributes taken from it: `a.b.c` is ("a", "b", "c")."""

    chains: set[tuple[str, ...]] = field(default_factory=set)
    imports: list[ast.Import | ast.ImportFrom] = field(default_factory=list)
    modules: set[str] = field(default_factory=set)
    strings: set[str] = field(default_factory=set)
    whole_module: bool = False
    whole_folder: bool = False


class _Reader(ast.NodeVisitor):
    def __init__(self) -> None:
        self.uses = Uses()

    def visit_Name(self, node: ast.Name) -> None:
        self.uses.chains.add((node.id,))

    def visit_Attribute(self, node: ast.Attribute) -> None:
        attributes: list[str] = []
        inner: ast.expr = node
        while isinstance(inner, ast.Attribute):
            attributes.append(inner.attr)
            inner = inner.value
        if not isinstance(inner, ast.Name):
            self.visit(inner)
            return
        chain = (inner.id, *reversed(attributes))
        self.uses.chains.add(chain)
        if chain[:2] == ("sys", "modules"):
            self.uses.whole_folder = True

    def visit_Call(self, node: ast.Call) -> None:
        name = (
            node.func.id
            if isinstance(node.func, ast.Name)
            else node.func.attr
            if isinstance(node.func, ast.Attribute)
            else ""
        )
        first = node.args[0] if node.args else None
        if name in _IMPORTERS or name in {"run_module", "run_path", "spec_from_file_location"}:
            if name in _IMPORTERS and isinstance(first, ast.Constant) and isinstance(first.value, str):
                self.uses.modules.add(first.value)
            else:
                self.uses.whole_folder = True
        elif isinstance(node.func, ast.Name) and (
            name in _WHOLE_MODULE
            or (name in {"getattr", "setattr"} and len(node.args) > 1 and not isinstance(node.args[1], ast.Constant))
        ):
            self.uses.whole_module = True
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str) and 0 < len(node.value) <= 255:
            self.uses.strings.add(node.value)

    def visit_Import(self, node: ast.Import) -> None:
        self.uses.imports.append(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        self.uses.imports.append(node)


def uses(node: ast.AST) -> Uses:
    """Everything that `node` reads, nested functions and classes included. Local names count too: better one
    definition too many than one too few."""
    reader = _Reader()
    reader.visit(node)
    return reader.uses


def imports_at_import(node: ast.stmt) -> list[ast.Import | ast.ImportFrom]:
    """The import statements that run when the module is imported: those outside of functions."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [node]
    return [found for child in _nested(node) for found in imports_at_import(child)]


def bindings(node: ast.stmt) -> set[str]:
    """The module-level names that a statement (not an import) gives a meaning to."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {alias.asname or alias.name.partition(".")[0] for alias in node.names}
    bound = {
        inner.id
        for inner in ast.walk(node)
        if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store | ast.Del)
    }
    for child in _nested(node):
        bound |= bindings(child)
    return bound


def acts(node: ast.stmt, own_names: set[str]) -> bool:
    """True when running the statement may do more than bind its names: calls, mutations, registrations.

    `own_names` are names of the user's own code: a call of one may change its state, a call of a library's function
    in `X = function()` is taken only to make X.
    """
    if isinstance(node, ast.Expr):
        return not isinstance(node.value, ast.Constant)
    if isinstance(node, ast.Assign | ast.AnnAssign):
        return _assigns_elsewhere(node) or _calls(node.value, own_names)
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return not all(_pure(decorator) for decorator in node.decorator_list)
    if isinstance(node, _COMPOUND):
        return any(acts(child, own_names) for child in _nested(node))
    return isinstance(node, _ACTING)


def _assigns_elsewhere(node: ast.Assign | ast.AnnAssign) -> bool:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return any(isinstance(inner, ast.Attribute | ast.Subscript) for target in targets for inner in ast.walk(target))


def _calls(value: ast.expr | None, names: set[str]) -> bool:
    return value is not None and any(
        isinstance(inner, ast.Call) and _root(inner.func) in names for inner in ast.walk(value)
    )


def watches_subclasses(node: ast.stmt) -> bool:
    """True for a class that is told of its subclasses, so that defining one of them does something."""
    return isinstance(node, ast.ClassDef) and (
        bool(node.keywords)
        or any(isinstance(inner, ast.FunctionDef) and inner.name == "__init_subclass__" for inner in node.body)
    )


def never_runs(node: ast.stmt) -> bool:
    """True for `if __name__ == "__main__":` and `if TYPE_CHECKING:`, which do nothing when imported."""
    if not isinstance(node, ast.If) or node.orelse:
        return False
    text = ast.unparse(node.test)
    return text in {"TYPE_CHECKING", "typing.TYPE_CHECKING", "__name__ == '__main__'"}


def meaning(node: ast.AST) -> str:
    """The statement without what does not change what it does: formatting, comments, docstrings, line numbers."""
    return ast.dump(_Plain().visit(copy.deepcopy(node)), include_attributes=False)


class _Plain(ast.NodeTransformer):
    def _without_docstring(self, node: _Body) -> _Body:
        self.generic_visit(node)
        body = node.body  # type: ignore[attr-defined]
        first = body[0] if body else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            node.body = body[1:] or [ast.Pass()]  # type: ignore[attr-defined]
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._without_docstring(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._without_docstring(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return self._without_docstring(node)


def _nested(node: ast.stmt) -> list[ast.stmt]:
    """Statements directly inside a compound one that run with it (none for functions)."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return []
    found: list[ast.stmt] = []
    for name in ("body", "orelse", "finalbody"):
        found += getattr(node, name, [])
    for handler in getattr(node, "handlers", []):
        found += handler.body
    for case in getattr(node, "cases", []):
        found += case.body
    return found


def _root(node: ast.AST) -> str:
    while isinstance(node, ast.Attribute | ast.Call | ast.Subscript):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def _pure(decorator: ast.expr) -> bool:
    root = _root(decorator)
    return root in _PURE_DECORATORS or root in _PURE_NAMES
