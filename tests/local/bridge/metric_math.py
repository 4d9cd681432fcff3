"""CloudWatch metric math, as far as releases use it: arithmetic, comparison, IF, FILL and sums."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping
from typing import Union

Series = dict[int, float]
Value = Union[float, Series, "list[Series]"]


class MathError(ValueError):
    """The expression cannot be computed; CloudWatch refuses it with ValidationError."""


def evaluate(expression: str, names: Mapping[str, Series], period: int) -> list[Series]:
    """The series an expression gives: one, or several for an expression over `METRICS()`."""
    text = expression.strip()
    text = re.sub(r"&&|\bAND\b", " and ", text)
    text = re.sub(r"\|\||\bOR\b", " or ", text)
    text = text.replace("^", "**")
    text = re.sub(r"\bIF\s*\(", "IF_(", text)
    try:
        tree = ast.parse(text, mode="eval").body
    except SyntaxError as error:
        raise MathError(f"Error in expression: {expression}") from error
    value = _Evaluator(names, period).visit(tree)
    if isinstance(value, list):
        return value
    if isinstance(value, dict):
        return [value]
    stamps = sorted({at for series in names.values() for at in series})
    return [dict.fromkeys(stamps, value)]


_ARITHMETIC: dict[type[ast.AST], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.Mod: operator.mod,
}
_COMPARE: dict[type[ast.AST], Callable[[float, float], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_ONE_SERIES: dict[str, Callable[[list[float]], float]] = {
    "SUM": sum,
    "AVG": lambda values: sum(values) / len(values),
    "MAX": max,
    "MIN": min,
}


class _Evaluator:
    def __init__(self, names: Mapping[str, Series], period: int) -> None:
        self.names = names
        self.period = period

    def visit(self, node: ast.AST) -> Value:
        if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
            return float(node.value)
        if isinstance(node, ast.Name):
            if node.id not in self.names:
                raise MathError(f"Unknown metric id: {node.id}")
            return self.names[node.id]
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
            sign = -1.0 if isinstance(node.op, ast.USub) else 1.0
            return _combine(lambda a, b: a * b, self.visit(node.operand), sign)
        if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
            return _combine(_ARITHMETIC[type(node.op)], self.visit(node.left), self.visit(node.right))
        if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _COMPARE:
            test = _COMPARE[type(node.ops[0])]
            return _combine(lambda a, b: float(test(a, b)), self.visit(node.left), self.visit(node.comparators[0]))
        if isinstance(node, ast.BoolOp):
            joined = all if isinstance(node.op, ast.And) else any
            result = self.visit(node.values[0])
            for other in node.values[1:]:
                result = _combine(lambda a, b: float(joined((a, b))), result, self.visit(other))
            return result
        if isinstance(node, ast.List):
            return [_series(self.visit(item)) for item in node.elts]
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            return self.call(node.func.id, node.args)
        raise MathError(f"Unsupported in a metric math expression: {ast.dump(node)}")

    def call(self, name: str, args: list[ast.expr]) -> Value:
        if name == "METRICS":
            wanted = args[0].value if args and isinstance(args[0], ast.Constant) else ""
            return [series for key, series in self.names.items() if str(wanted) in key]
        if name == "FILL":
            return self.fill(self.visit(args[0]), args[1])
        if name == "PERIOD":
            return float(self.period)
        if name == "TIME_SERIES":
            return dict.fromkeys(self.stamps(), float(_scalar(self.visit(args[0]))))
        values = [self.visit(arg) for arg in args]
        if name == "IF_":
            return self.choose(*values)
        if name in _ONE_SERIES and len(values) == 1:
            return _reduce(_ONE_SERIES[name], values[0])
        if name == "ABS":
            return _map(abs, values[0])
        if name == "CEIL":
            return _map(lambda v: float(-(-v // 1)), values[0])
        if name == "FLOOR":
            return _map(lambda v: float(v // 1), values[0])
        if name == "DATAPOINT_COUNT":
            return float(len(_series(values[0])))
        raise MathError(f"Unsupported function: {name.rstrip('_')}")

    def stamps(self) -> list[int]:
        return sorted({at for series in self.names.values() for at in series})

    def fill(self, value: Value, by: ast.expr) -> Value:
        if isinstance(value, list):
            return [_series(self.fill(series, by)) for series in value]
        series = _series(value)
        if isinstance(by, ast.Name) and by.id in ("REPEAT", "LINEAR"):
            filled: Series = {}
            last: float | None = None
            for at in self.stamps():
                last = series.get(at, last)
                if last is not None:
                    filled[at] = last
            return filled
        other = self.visit(by)
        return {
            at: series.get(at, other if isinstance(other, float) else _series(other).get(at, 0.0))
            for at in sorted({*self.stamps(), *series})
        }

    def choose(self, condition: Value, yes: Value, no: Value | None = None) -> Value:
        if isinstance(condition, float):
            return (yes if condition else no) if no is not None else (yes if condition else {})
        out: Series = {}
        for at, flag in _series(condition).items():
            source = yes if flag else no
            picked = source if isinstance(source, float) or source is None else _series(source).get(at)
            if picked is not None:
                out[at] = picked
        return out


def _series(value: Value) -> Series:
    if isinstance(value, dict):
        return value
    raise MathError("a time series was expected")


def _scalar(value: Value) -> float:
    if isinstance(value, float):
        return value
    raise MathError("a number was expected")


def _map(change: Callable[[float], float], value: Value) -> Value:
    if isinstance(value, float):
        return change(value)
    if isinstance(value, list):
        return [_series(_map(change, item)) for item in value]
    return {at: change(v) for at, v in value.items()}


def _reduce(join: Callable[[list[float]], float], value: Value) -> Value:
    if isinstance(value, float):
        return value
    if isinstance(value, dict):
        return float(join(list(value.values()))) if value else 0.0
    stamps = sorted({at for series in value for at in series})
    return {at: float(join([series[at] for series in value if at in series])) for at in stamps}


def _combine(join: Callable[[float, float], float], left: Value, right: Value) -> Value:
    """Point by point; a value missing on one side counts as 0, a division by zero drops the point."""
    if isinstance(left, list) or isinstance(right, list):
        if isinstance(left, list) and isinstance(right, list):
            return [_series(_combine(join, a, b)) for a, b in zip(left, right)]
        many = left if isinstance(left, list) else right
        assert isinstance(many, list)
        return [_series(_combine(join, item, right) if many is left else _combine(join, left, item)) for item in many]
    if isinstance(left, float) and isinstance(right, float):
        try:
            return float(join(left, right))
        except ZeroDivisionError:
            return {}
    stamps = sorted({*(left if isinstance(left, dict) else ()), *(right if isinstance(right, dict) else ())})
    out: Series = {}
    for at in stamps:
        a = left if isinstance(left, float) else left.get(at, 0.0)
        b = right if isinstance(right, float) else right.get(at, 0.0)
        try:
            out[at] = float(join(a, b))
        except (ZeroDivisionError, OverflowError):
            continue
    return out
