"""The small changes to a module that a test should notice. Pure: source text in, mutants out."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass

COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
CALCULATED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv, ast.LShift: ast.RShift, ast.RShift: ast.LShift, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
CALLED = {"min": "max", "max": "min", "any": "all", "all": "any"}


@dataclass(frozen=True, slots=True)
class Mutant:
    line: int
    what: str
    source: str


def mutants(source: str) -> Iterator[Mutant]:
    """Every mutant of this module, in the order of its lines."""
    tree = ast.parse(source)
    sites = sorted(
        (node for node in _code(tree) if hasattr(node, "lineno")), key=lambda node: (node.lineno, node.col_offset)
    )
    for node in sites:
        for changed in _changes(node):
            before, after = ast.unparse(node), ast.unparse(changed)
            with_it = _replaced(tree, node, changed)
            yield Mutant(node.lineno, f"{_short(before)}  ->  {_short(after)}", ast.unparse(with_it))


def _code(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but annotations, docstrings and what a decorator is given."""
    for name, value in ast.iter_fields(tree):
        if name in ("annotation", "returns", "decorator_list", "type_params"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not _is_text(child):
                yield child
                yield from _code(child)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _changes(node: ast.AST) -> Iterator[ast.AST]:
    made = copy.deepcopy(node)
    match made:
        case ast.Compare(ops=[op]) if type(op) in COMPARED:
            made.ops = [COMPARED[type(op)]()]
            yield made
        case ast.BoolOp(values=values):
            # Each condition left out tells more than the other operator does.
            for left_out in range(len(values)):
                kept = values[:left_out] + values[left_out + 1 :]
                yield kept[0] if len(kept) == 1 else ast.BoolOp(made.op, kept)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield operand
        case ast.BinOp(op=op) if type(op) in CALCULATED:
            made.op = CALCULATED[type(op)]()
            yield made
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(value)) | ast.Constant(value=float(value)):
            yield ast.Constant(value + 1)
        case ast.Call(func=ast.Name(id=name)) if name in CALLED:
            made.func.id = CALLED[name]
            yield made
        case ast.IfExp(body=body, orelse=orelse):
            yield body
            yield orelse
        case ast.If(body=body):
            yield ast.If(ast.Constant(False), body, made.orelse)
        case ast.Expr(value=ast.Call()) | ast.AugAssign():
            yield ast.Pass()


def _replaced(tree: ast.AST, node: ast.AST, changed: ast.AST) -> ast.AST:
    place = next(number for number, one in enumerate(ast.walk(tree)) if one is node)
    copied = copy.deepcopy(tree)
    target = next(one for number, one in enumerate(ast.walk(copied)) if number == place)

    class Swap(ast.NodeTransformer):
        def visit(self, one: ast.AST) -> ast.AST:
            return changed if one is target else self.generic_visit(one)

    return ast.fix_missing_locations(Swap().visit(copied))


def _short(text: str) -> str:
    first, _, rest = text.partition("\n")
    return (first[:67] + "..." if len(first) > 70 else first) + (" ..." if rest else "")
