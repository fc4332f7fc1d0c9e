r"""Links between parameters, as users write them, and as the Stan program takes them.

Every parameter has its own scale: theta = ln x where x is positive by nature (norms, temperatures),
else theta = x (indices). A link is linear there:

    theta = shift + sum_t weight_t [x_by(t)] theta_from(t)

so that ``"2 * src1.bb.K"`` and ``"src1.bb.K ** slope / 10"`` link norms, ``"src1.pl.index + 0.3"``
and ``"slope * src1.pl.index"`` link indices, where ``slope`` is a coefficient with a prior. A
coefficient has a scale too, by the family of its prior: normal and uniform ones are linear.

>>> parse("2 * src1.bb.K", positive=True, scales={"src1.bb.K": True})
Link(shift=0.693..., terms=(Term(weight=1.0, by=None, source='src1.bb.K'),))
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pyxstan.errors import DataError


@dataclass(frozen=True)
class Term:
    """weight theta_source, or weight x_by theta_source."""

    weight: float
    by: str | None
    source: str


@dataclass(frozen=True)
class Link:
    """A parameter as a linear function of others, on its own scale."""

    shift: float = 0.0
    terms: tuple[Term, ...] = ()

    def __add__(self, other: Link) -> Link:
        return Link(self.shift + other.shift, self.terms + other.terms)

    def times(self, factor: float) -> Link:
        """The same, `factor` times."""
        terms = (Term(factor * t.weight, t.by, t.source) for t in self.terms)
        return Link(factor * self.shift, tuple(terms))

    def by(self, coefficient: str, positive: bool) -> Link:
        """The same times a free coefficient, and whether its own scale is the logarithm."""
        if any(t.by is not None for t in self.terms):
            raise ValueError("two coefficients at one parameter")
        terms = [Term(t.weight, coefficient, t.source) for t in self.terms]
        if self.shift and positive:
            raise ValueError(f"'{coefficient}', positive by nature, times a number")
        if self.shift:
            terms.append(Term(self.shift, None, coefficient))
        return Link(0.0, tuple(terms))


def parse(text: str, *, positive: bool, scales: Mapping[str, bool]) -> Link:
    """Read a link.

    Parameters
    ----------
    text
        An expression of numbers and names: of products, quotients and powers where `positive`, of
        sums and multiples otherwise.
    positive
        Whether the linked parameter's own scale is the logarithm.
    scales
        The same of the parameters and coefficients that there are.

    Raises
    ------
    DataError
        No such expression; a parameter that isn't there, or of another scale.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        return (_Product if positive else _Sum)(scales).read(tree)
    except (SyntaxError, RecursionError, MemoryError):
        raise DataError(f"link '{text}': not an expression of numbers and parameters") from None
    except ValueError as error:
        raise DataError(f"link '{text}': {error}") from None


class _Reader:
    """What both kinds of expressions have in common."""

    def __init__(self, scales: Mapping[str, bool]) -> None:
        self.scales = scales

    def read(self, node: ast.expr) -> Link:
        raise NotImplementedError

    def name(self, node: ast.expr) -> str | None:
        """A name with dots; None if this is none."""
        parts = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return None
        name = ".".join([node.id, *reversed(parts)])
        if name not in self.scales:
            raise ValueError(f"there is no parameter '{name}'")
        return name


def _number(node: ast.expr) -> float | None:
    """A finite number, perhaps an expression of numbers; None if this is none."""
    try:
        number = _calculated(node)
    except ArithmeticError:
        number = math.nan
    if number is not None and not math.isfinite(number):
        raise ValueError(f"'{ast.unparse(node)}' is not a finite number")
    return number


def _calculated(node: ast.expr) -> float | None:
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return float(value)
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            positive = _calculated(inner)
            return None if positive is None else -positive
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            a, b = _calculated(left), _calculated(right)
            if a is None or b is None:
                return None
            found = _OPERATORS[type(op)](a, b)
            return math.nan if isinstance(found, complex) else float(found)
    return None


_OPERATORS: dict[type[ast.operator], Callable[[float, float], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul,
    ast.Div: operator.truediv, ast.Pow: operator.pow,
}  # fmt: skip


class _Product(_Reader):
    """Numbers, parameters, products, quotients and powers, by their logarithms."""

    def read(self, node: ast.expr) -> Link:
        number = _number(node)
        if number is not None:
            if not number > 0:
                raise ValueError(f"{number:g} in a product of positive parameters")
            return Link(math.log(number))
        name = self.name(node)
        if name is not None:
            if not self.scales[name]:
                raise ValueError(f"'{name}' may be negative: no factor of a positive parameter")
            return Link(terms=(Term(1.0, None, name),))
        match node:
            case ast.BinOp(left=left, op=ast.Mult(), right=right):
                return self.read(left) + self.read(right)
            case ast.BinOp(left=left, op=ast.Div(), right=right):
                return self.read(left) + self.read(right).times(-1.0)
            case ast.BinOp(left=left, op=ast.Pow(), right=right):
                exponent = _number(right)
                if exponent is not None:
                    return self.read(left).times(exponent)
                if isinstance(right, ast.UnaryOp) and isinstance(right.op, ast.USub):
                    left, right = ast.BinOp(ast.Constant(1.0), ast.Div(), left), right.operand
                coefficient = self.name(right)
                if coefficient is not None:
                    return self.read(left).by(coefficient, self.scales[coefficient])
        raise ValueError("a positive parameter takes products, quotients and powers")


class _Sum(_Reader):
    """Numbers, parameters, their multiples and sums."""

    def read(self, node: ast.expr) -> Link:
        number = _number(node)
        if number is not None:
            return Link(number)
        name = self.name(node)
        if name is not None:
            if self.scales[name]:
                raise ValueError(f"'{name}' is positive by nature: no term of a sum")
            return Link(terms=(Term(1.0, None, name),))
        match node:
            case ast.UnaryOp(op=ast.USub(), operand=inner):
                return self.read(inner).times(-1.0)
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return self.read(left) + self.read(right)
            case ast.BinOp(left=left, op=ast.Sub(), right=right):
                return self.read(left) + self.read(right).times(-1.0)
            case ast.BinOp(left=left, op=ast.Div(), right=right):
                number = _number(right)
                if number:
                    return self.read(left).times(1 / number)
            case ast.BinOp(left=left, op=ast.Mult(), right=right):
                for one, other in ((left, right), (right, left)):
                    number = _number(one)
                    if number is not None:
                        return self.read(other).times(number)
                # a coefficient that is positive by nature can't be the other factor
                named = [(self.name(a), b) for a, b in ((left, right), (right, left))]
                pairs = [(name, other) for name, other in named if name is not None]
                for name, other in sorted(pairs, key=lambda pair: not self.scales[pair[0]]):
                    return self.read(other).by(name, self.scales[name])
        raise ValueError("a parameter that may be negative takes sums and multiples")
