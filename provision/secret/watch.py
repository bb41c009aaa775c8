"""Templates tell when they use a secret: every place of one where a value is read is followed by a look at it.

Over Jinja's syntax trees, before they become code. A secret that is read makes the template's result secret. A mapping
or list that only holds one does so where it becomes text; where it is passed on whole, its secrets keep their type.
Conditions and comparisons are not looked at: they tell one bit. Must not know where names come from.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jinja2 import nodes, pass_context
from jinja2.runtime import Context
from jinja2.visitor import NodeTransformer

from provision.secret.value import Secret, holds, revealed

__all__ = ["LOOKS", "watched"]

_ONE, _WHOLE = "secret: one", "secret: whole"
"""Names that no template can write."""
_KEEPING = frozenset(
    (
        *("batch", "combine", "d", "default", "dict2items", "difference", "first", "flatten", "groupby", "intersect"),
        *("items", "items2dict", "last", "length", "count", "list", "mandatory", "map", "max", "min", "random"),
        *("reject", "rejectattr", "reverse", "select", "selectattr", "slice", "sort", "subelements", "ternary"),
        *("unique", "union", "zip", "bool", "type_debug"),
    )
)
"""Filters that pass items on as they are."""
_KEEPING_METHODS = frozenset(("copy", "get", "items", "keys", "values"))


@pass_context
def _one(context: Context, value: Any) -> Any:
    if type(value) is Secret:
        context.parent.touched = True  # type: ignore[attr-defined]
    return value


@pass_context
def _whole(context: Context, value: Any) -> Any:
    if isinstance(value, Iterator):
        value = list(value)
    if not holds(value):
        return value
    context.parent.touched = True  # type: ignore[attr-defined]
    return revealed(value)


LOOKS = {_ONE: _one, _WHOLE: _whole}
"""What `watched` puts into templates, as filters."""


def watched(tree: nodes.Template, text: bool) -> nodes.Template:
    """The tree with the looks in it, changed in place; `text`: all that it puts out becomes text."""
    return _Watcher(tree, text).visit(tree, False)  # type: ignore[no-any-return]


class _Watcher(NodeTransformer):
    """`whole` says of each expression that what holds a secret is to be made plain there, as text is made of it."""

    def __init__(self, tree: nodes.Template, text: bool) -> None:
        single = tree.body[0] if len(tree.body) == 1 else None
        self._alone = None if text or not isinstance(single, nodes.Output) or len(single.nodes) > 1 else single

    def visit_Output(self, node: nodes.Output, _: bool) -> nodes.Node:  # noqa: N802
        return self.generic_visit(node, node is not self._alone)

    def visit_Name(self, node: nodes.Name, whole: bool) -> nodes.Node:  # noqa: N802
        return _look(node, whole) if node.ctx == "load" else node

    def visit_Getattr(self, node: nodes.Getattr, whole: bool) -> nodes.Node:  # noqa: N802
        self._below(node)
        return _look(node, whole)

    def visit_Getitem(self, node: nodes.Getitem, whole: bool) -> nodes.Node:  # noqa: N802
        self._below(node)
        node.arg = self.visit(node.arg, False)
        return _look(node, whole)

    def _below(self, node: nodes.Getattr | nodes.Getitem) -> None:
        """Of `a.b.c` the whole is looked at, not `a`."""
        inner = node.node
        if isinstance(inner, nodes.Getattr | nodes.Getitem):
            self._below(inner)
            if isinstance(inner, nodes.Getitem):
                inner.arg = self.visit(inner.arg, False)
        elif not isinstance(inner, nodes.Name):
            node.node = self.visit(inner, False)
        if isinstance(node, nodes.Getitem) and not (
            isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str)
        ):
            node.node = _look(node.node, False)  # a piece of a secret text

    def visit_Call(self, node: nodes.Call, whole: bool) -> nodes.Node:  # noqa: N802
        return _look(self._called(node), whole)

    def visit_CallBlock(self, node: nodes.CallBlock, _: bool) -> nodes.Node:  # noqa: N802
        self._called(node.call)
        node.body = [self.visit(inner, False) for inner in node.body]
        return node

    def _called(self, node: nodes.Call) -> nodes.Call:
        method = node.node
        if isinstance(method, nodes.Getattr):
            method.node = self.visit(method.node, method.attr not in _KEEPING_METHODS)
        self._arguments(node, True)
        return node

    def visit_Filter(self, node: nodes.Filter, whole: bool) -> nodes.Node:  # noqa: N802
        self._filtered(node)
        return _look(node, whole)

    def visit_FilterBlock(self, node: nodes.FilterBlock, _: bool) -> nodes.Node:  # noqa: N802
        self._filtered(node.filter)
        node.body = [self.visit(inner, False) for inner in node.body]
        return node

    def _filtered(self, node: nodes.Filter) -> None:
        name = node.name.rpartition(".")[2]
        # `map('hash')` makes others of its items, `map(attribute='name')` does not
        keeps = name in _KEEPING and not (name == "map" and node.args)
        if node.node is not None:
            node.node = self.visit(node.node, not keeps)
        self._arguments(node, not keeps)

    def _arguments(self, node: nodes.Call | nodes.Filter, whole: bool) -> None:
        node.args = [self.visit(inner, whole) for inner in node.args]
        for word in node.kwargs:
            word.value = self.visit(word.value, whole)
        node.dyn_args = self.visit(node.dyn_args, whole) if node.dyn_args else None
        node.dyn_kwargs = self.visit(node.dyn_kwargs, whole) if node.dyn_kwargs else None

    def visit_Test(self, node: nodes.Test, _: bool) -> nodes.Node:  # noqa: N802
        return node

    def visit_Compare(self, node: nodes.Compare, _: bool) -> nodes.Node:  # noqa: N802
        return node

    def visit_Not(self, node: nodes.Not, _: bool) -> nodes.Node:  # noqa: N802
        return node

    def visit_CondExpr(self, node: nodes.CondExpr, whole: bool) -> nodes.Node:  # noqa: N802
        node.expr1 = self.visit(node.expr1, whole)
        node.expr2 = self.visit(node.expr2, whole) if node.expr2 else None
        return node

    def visit_If(self, node: nodes.If, _: bool) -> nodes.Node:  # noqa: N802
        node.body = [self.visit(inner, False) for inner in node.body]
        node.elif_ = [self.visit(inner, False) for inner in node.elif_]
        node.else_ = [self.visit(inner, False) for inner in node.else_]
        return node

    def visit_For(self, node: nodes.For, _: bool) -> nodes.Node:  # noqa: N802
        node.iter = self.visit(node.iter, False)
        node.body = [self.visit(inner, False) for inner in node.body]
        node.else_ = [self.visit(inner, False) for inner in node.else_]
        return node

    def visit_Concat(self, node: nodes.Concat, _: bool) -> nodes.Node:  # noqa: N802
        return self.generic_visit(node, True)

    def visit_Mod(self, node: nodes.Mod, _: bool) -> nodes.Node:  # noqa: N802
        return self.generic_visit(node, True)


def _is_key(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Const) and isinstance(node.value, str)


def _look(node: nodes.Expr, whole: bool) -> nodes.Filter:
    look = nodes.Filter(node, _WHOLE if whole else _ONE, [], [], None, None, lineno=node.lineno)
    return look.set_environment(node.environment)  # type: ignore[arg-type,return-value]
