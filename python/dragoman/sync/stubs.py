"""Write the types of the blocking client: ``python -m dragoman.sync.stubs > python/dragoman/sync/client.pyi``.

Made from the sources of both classes by the table in `dragoman.sync.bridge`, so that a checker sees real signatures
where the program has made methods. A test holds the file and this together.
"""

from __future__ import annotations

import ast
import inspect
import sys
from typing import Final

import dragoman.sync.client
from dragoman.client import Client
from dragoman.market.handout import MarketData
from dragoman.portfolio.extras import AccountServices
from dragoman.portfolio.margin.monitor import MarginMonitor
from dragoman.rules.book import RuleBook
from dragoman.session.fanout import Fanout
from dragoman.session.session import AccountSession
from dragoman.sync.bridge import MARGIN, MARKET, RULES, SESSION, Shape, members

_HEAD: Final = '"""Types of the blocking client. Made by `dragoman.sync.stubs`; not edited by hand."""\n\n'
_UNUSED_HERE: Final = frozenset({"AsyncClient", "mirror"})
_UNTYPED: Final = frozenset({"__getattr__", "_source"})
"""`__getattr__` only explains what is missing; with it a checker would take every name for there."""
_TWINS: Final = (
    ("BlockingAccount", AccountServices, None),
    ("BlockingEvents", Fanout, frozenset[str]()),
    ("BlockingMargin", MarginMonitor, MARGIN),
    ("BlockingMarket", MarketData, MARKET),
    ("BlockingRules", RuleBook, RULES),
    ("BlockingSession", AccountSession, SESSION),
    ("Client", Client, None),
)
"""Each blocking class, the asynchronous one it stands for, and what of it is mirrored: None is all."""


def stub() -> str:
    """Return the text of ``client.pyi``; formatting it is left to the formatter."""
    ours = ast.parse(inspect.getsource(dragoman.sync.client))
    lineages = [_lineage(original) for _, original, _ in _TWINS]
    made = [
        _made(_class(ours, name), [_class(tree, kind) for kind, tree in line.items()], members(original, only))
        for (name, original, only), line in zip(_TWINS, lineages, strict=True)
    ]
    written: list[ast.stmt] = [*made]
    imports, aliases = _imports(ours, _names(written) - _UNUSED_HERE), list[ast.stmt]()
    for one, line in zip([*made, *made], [*lineages, *({"": ours} for _ in made)], strict=True):
        for source in line.values():
            known = {name for _, name in imports}
            unknown = _names([one]) - known
            mine = [node for node in source.body if isinstance(node, ast.Assign) and _target(node) in unknown]
            aliases += [node for node in mine if node not in aliases]
            imports |= {pair for pair in _imports(source, _names([*mine, one]) - _UNUSED_HERE) if pair[1] not in known}
    used = _names([*aliases, *written])
    lines = [f"from {module} import {name}" for module, name in sorted(imports)]
    if "Iterator" in used:
        lines.append("from collections.abc import Iterator")
    text = "\n".join(["from __future__ import annotations", *sorted(set(lines))])
    body = "\n".join(ast.unparse(ast.fix_missing_locations(node)) for node in [*aliases, *written])
    return _HEAD + text + "\n\n" + body + "\n"


def _lineage(original: type) -> dict[str, ast.Module]:
    """Return an asynchronous class and its bases of ours by name, each with the module it stands in."""
    ours = [kind for kind in original.__mro__ if kind.__module__.startswith("dragoman.")]
    return {kind.__name__: ast.parse(inspect.getsource(sys.modules[kind.__module__])) for kind in ours}


def _made(own: ast.ClassDef, sources: list[ast.ClassDef], shapes: dict[str, Shape]) -> ast.ClassDef:
    """Return the stub of a blocking class: what it defines itself, and the twins of the rest."""
    defined = [node for node in own.body if isinstance(node, ast.FunctionDef) and node.name not in _UNTYPED]
    names = {node.name for node in defined}
    body: list[ast.stmt] = [_bare(node) for node in defined]
    body += [
        _twin(node, shapes[node.name])
        for source in sources
        for node in source.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name in shapes and node.name not in names
    ]
    return ast.ClassDef(own.name, own.bases, [], body, [])


def _class(tree: ast.Module, name: str) -> ast.ClassDef:
    return next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)


def _target(node: ast.Assign) -> str:
    target = node.targets[0]
    return target.id if isinstance(target, ast.Name) else ""


def _bare(node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.FunctionDef:
    """Return a function's signature, as a plain function without a body."""
    return ast.FunctionDef(node.name, node.args, [ast.Expr(ast.Constant(...))], node.decorator_list, node.returns, None)


def _twin(node: ast.FunctionDef | ast.AsyncFunctionDef, shape: Shape) -> ast.FunctionDef:
    twin = _bare(node)
    if shape == "iterator" and isinstance(node.returns, ast.Subscript):
        twin.returns = ast.Subscript(ast.Name("Iterator"), node.returns.slice)
    if shape == "handler":
        inline = ast.arg("inline", ast.Name("bool"))
        args = node.args
        twin.args = ast.arguments(
            args.posonlyargs, args.args, args.vararg, [*args.kwonlyargs, inline],
            [*args.kw_defaults, ast.Constant(False)], args.kwarg, args.defaults,
        )  # fmt: skip
    return twin


def _names(nodes: list[ast.stmt]) -> set[str]:
    return {found.id for node in nodes for found in ast.walk(node) if isinstance(found, ast.Name)}


def _imports(tree: ast.Module, used: set[str]) -> set[tuple[str, str]]:
    return {
        (node.module or "", alias.name)
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module != "__future__"
        for alias in node.names
        if (alias.asname or alias.name) in used
    }


if __name__ == "__main__":
    sys.stdout.write(stub())
