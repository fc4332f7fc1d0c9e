r"""Links between parameters, as users write them, and as the Stan program takes them.

Every parameter has its own scale: theta = ln x where x is positive by nature (norms, temperatures),
else theta = x (indices). A link is linear there:

    theta = shift + sum_t weight_t [x_by(t)] theta_from(t)

so that ``"2 * src1.bb.K"`` and ``"src1.bb.K ** slope / 10"`` link norms, ``"src1.pl.index + 0.3"``
and ``"slope * src1.pl.index"`` link indices, where ``slope`` is a coefficient with a prior.

>>> parse("2 * src1.bb.K", positive=True, scales={"src1.bb.K": True})
Link(shift=0.693..., terms=(Term(weight=1.0, by=None, source='src1.bb.K'),))
"""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping
from dataclasses import dataclass

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

    def by(self, coefficient: str) -> Link:
        """The same times a free coefficient, whose own scale is linear."""
        if any(t.by is not None for t in self.terms):
            raise ValueError("two coefficients at one parameter")
        terms = [Term(t.weight, coefficient, t.source) for t in self.terms]
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
    except SyntaxError:
        raise DataError(f"link '{text}': not an expression of numbers and parameters") from None
    reader = _Product(scales) if positive else _Sum(scales)
    try:
        return reader.read(tree)
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

    def linear(self, name: str) -> str:
        """The name of a parameter whose own scale is linear."""
        if self.scales[name]:
            raise ValueError(f"'{name}' is positive by nature, which links to others by products")
        return name


def _number(node: ast.expr) -> float | None:
    """A number, perhaps an expression of numbers; None if this is none."""
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return float(value)
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            positive = _number(inner)
            return None if positive is None else -positive
        case ast.BinOp(left=left, op=op, right=right):
            a, b = _number(left), _number(right)
            if a is None or b is None:
                return None
            try:
                match op:
                    case ast.Add():
                        return a + b
                    case ast.Sub():
                        return a - b
                    case ast.Mult():
                        return a * b
                    case ast.Div():
                        return a / b
                    case ast.Pow():
                        return float(a**b)
            except (ArithmeticError, TypeError) as error:
                raise ValueError(str(error)) from None
    return None


class _Product(_Reader):
    """Numbers, parameters, products, quotients and powers, by their logarithms."""

    def read(self, node: ast.expr) -> Link:
        number = _number(node)
        if number is not None:
            if not (number > 0 and math.isfinite(number)):
                raise ValueError(f"{number:g} in a product of positive parameters")
            return Link(math.log(number))
        name = self.name(node)
        if name is not None:
            if not self.scales[name]:
                raise ValueError(f"'{name}' may be negative: it is no factor of a positive one")
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
                    return self.read(left).by(self.linear(coefficient))
        raise ValueError("a positive parameter takes products, quotients and powers")


class _Sum(_Reader):
    """Numbers, parameters, their multiples and sums."""

    def read(self, node: ast.expr) -> Link:
        number = _number(node)
        if number is not None:
            return Link(number)
        name = self.name(node)
        if name is not None:
            return Link(terms=(Term(1.0, None, self.linear(name)),))
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
                for one, other in ((left, right), (right, left)):
                    coefficient = self.name(one)
                    if coefficient is not None:
                        return self.read(other).by(self.linear(coefficient))
        raise ValueError("a parameter that may be negative takes sums and multiples")
