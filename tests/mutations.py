"""What `mutants.py` changes: pieces of source, and what to write in their place.

Comparisons, `and` and `or`, `not`, arithmetic, numbers, conditions, keywords, returns, single
statements. Texts are left alone, and so are messages, annotations and decorators.
"""

import ast
from collections.abc import Iterator

COMPARED: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
}
COMPUTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}


def replacements(source: str) -> Iterator[tuple[int, int, str]]:
    """Yield start, end and new text of every change, in the order of the places."""
    offsets = [0]
    for line in source.splitlines(keepends=True):
        offsets.append(offsets[-1] + len(line))
    lines = source.splitlines()

    def place(row: int, column: int) -> int:
        return offsets[row - 1] + len(lines[row - 1].encode()[:column].decode())

    for node, text in _changes(ast.parse(source)):
        start = place(node.lineno, node.col_offset)
        end = place(node.end_lineno, node.end_col_offset)
        yield start, end, text


def _changes(tree: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    for node in _code(tree):
        if isinstance(node, ast.expr):
            for changed in _expressions(node):
                plain = isinstance(changed, ast.Constant | ast.Name | ast.Call | ast.Attribute)
                yield node, ast.unparse(changed) if plain else f"({ast.unparse(changed)})"
        elif isinstance(node, ast.stmt):
            yield from _statements(node)
        elif isinstance(node, ast.comprehension):
            yield from ((condition, "True") for condition in node.ifs)
        elif isinstance(node, ast.keyword) and node.arg:
            yield node, "**{}"


def _code(node: ast.AST) -> Iterator[ast.AST]:
    """Yield every node that does something."""
    yield node
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_params"):
            continue
        for child in value if isinstance(value, list) else [value]:
            message = isinstance(node, ast.Raise) or isinstance(child, ast.JoinedStr)
            if isinstance(child, ast.AST) and not message:
                yield from _code(child)


def _expressions(node: ast.expr) -> Iterator[ast.expr]:
    if isinstance(node, ast.Compare):
        for at, operator in enumerate(node.ops):
            for other in COMPARED[type(operator)]:
                ops = [*node.ops[:at], other(), *node.ops[at + 1 :]]
                yield ast.Compare(node.left, ops, node.comparators)
    elif isinstance(node, ast.BoolOp):
        yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
        for at in range(len(node.values)):
            left = [*node.values[:at], *node.values[at + 1 :]]
            yield left[0] if len(left) == 1 else ast.BoolOp(node.op, left)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.Invert | ast.USub):
        yield node.operand
    elif isinstance(node, ast.BinOp) and not _joins_paths(node):
        if isinstance(node.op, ast.BitAnd | ast.BitOr):
            yield from (node.left, node.right)
        if type(node.op) in COMPUTED:
            yield ast.BinOp(node.left, COMPUTED[type(node.op)](), node.right)
    elif isinstance(node, ast.Constant):
        yield from (ast.Constant(value) for value in _constants(node.value))
    elif isinstance(node, ast.IfExp):
        yield from (node.body, node.orelse)


def _joins_paths(node: ast.BinOp) -> bool:
    """Tell a / "b" and its like, which any other operator would break at once."""
    return isinstance(node.op, ast.Div) and any(
        isinstance(side, ast.JoinedStr)
        or (isinstance(side, ast.Constant) and isinstance(side.value, str))
        for side in (node.left, node.right)
    )


def _constants(value: object) -> tuple[object, ...]:
    if isinstance(value, bool):
        return (not value,)
    if isinstance(value, int):
        return (value + 1, value - 1) if value else (1,)
    if isinstance(value, float):
        return (value * 2, value / 2) if value else (0.1,)
    return ()


def _statements(node: ast.stmt) -> Iterator[tuple[ast.AST, str]]:
    if isinstance(node, ast.If):
        yield from ((node.test, "True"), (node.test, "False"))
    elif isinstance(node, ast.Return):
        if node.value is not None and not isinstance(node.value, ast.Constant):
            yield node, "return None"
    elif isinstance(node, ast.Raise | ast.AugAssign):
        yield node, "pass"
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield node, "pass"
    elif isinstance(node, ast.Continue | ast.Break):
        yield node, "break" if isinstance(node, ast.Continue) else "continue"
