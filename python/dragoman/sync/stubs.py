"""Write the types of the blocking client: ``python -m dragoman.sync.stubs > python/dragoman/sync/client.pyi``.

Made from the sources of both classes by the table in `dragoman.sync.bridge`, so that a checker sees real signatures
where the program has made methods. A test holds the file and this together.
"""

from __future__ import annotations

import ast
import inspect
import sys
from typing import Final

import dragoman.client
import dragoman.market.handout
import dragoman.portfolio.extras
import dragoman.portfolio.margin.monitor
import dragoman.rules.book
import dragoman.session.fanout
import dragoman.session.session
import dragoman.sync.client
from dragoman.sync.bridge import MARGIN, MARKET, RULES, SESSION, Shape, members

_HEAD: Final = '"""Types of the blocking client. Made by `dragoman.sync.stubs`; not edited by hand."""\n\n'
_UNUSED_HERE: Final = frozenset({"AsyncClient", "mirror"})
_UNTYPED: Final = frozenset({"__getattr__", "_source"})
"""`__getattr__` only explains what is missing; with it a checker would take every name for there."""
_TWINS: Final = (
    ("BlockingAccount", dragoman.portfolio.extras, dragoman.portfolio.extras.AccountServices, None),
    ("BlockingEvents", dragoman.session.fanout, dragoman.session.fanout.Fanout, frozenset[str]()),
    ("BlockingMargin", dragoman.portfolio.margin.monitor, dragoman.portfolio.margin.monitor.MarginMonitor, MARGIN),
    ("BlockingMarket", dragoman.market.handout, dragoman.market.handout.MarketData, MARKET),
    ("BlockingRules", dragoman.rules.book, dragoman.rules.book.RuleBook, RULES),
    ("BlockingSession", dragoman.session.session, dragoman.session.session.AccountSession, SESSION),
    ("Client", dragoman.client, dragoman.client.Client, None),
)
"""Each blocking class, the asynchronous one it stands for, and what of it is mirrored: None is all."""


def stub() -> str:
    """Return the text of ``client.pyi``; formatting it is left to the formatter."""
    ours = ast.parse(inspect.getsource(dragoman.sync.client))
    sources = [ast.parse(inspect.getsource(module)) for _, module, _, _ in _TWINS]
    made = [
        _made(_class(ours, name), _class(source, original.__name__), members(original, only))
        for (name, _, original, only), source in zip(_TWINS, sources, strict=True)
    ]
    written: list[ast.stmt] = [*made]
    imports, aliases = _imports(ours, _names(written) - _UNUSED_HERE), list[ast.stmt]()
    for one, source in zip([*made, *made], [*sources, *(ours for _ in made)], strict=True):
        known = {name for _, name in imports}
        mine = [node for node in source.body if isinstance(node, ast.Assign) and _target(node) in _names([one]) - known]
        aliases += [node for node in mine if node not in aliases]
        imports |= {pair for pair in _imports(source, _names([*mine, one]) - _UNUSED_HERE) if pair[1] not in known}
    used = _names([*aliases, *written])
    lines = [f"from {module} import {name}" for module, name in sorted(imports)]
    if "Iterator" in used:
        lines.append("from collections.abc import Iterator")
    text = "\n".join(["from __future__ import annotations", *sorted(set(lines))])
    body = "\n".join(ast.unparse(ast.fix_missing_locations(node)) for node in [*aliases, *written])
    return _HEAD + text + "\n\n" + body + "\n"


def _made(own: ast.ClassDef, source: ast.ClassDef, shapes: dict[str, Shape]) -> ast.ClassDef:
    """Return the stub of a blocking class: what it defines itself, and the twins of the rest."""
    defined = [node for node in own.body if isinstance(node, ast.FunctionDef) and node.name not in _UNTYPED]
    names = {node.name for node in defined}
    body: list[ast.stmt] = [_bare(node) for node in defined]
    body += [
        _twin(node, shapes[node.name])
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
