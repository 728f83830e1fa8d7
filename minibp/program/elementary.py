"""exp, log and their kin, written so that LLVM turns loops over them into vector instructions.

The functions of the C library, which numba would call, take one number at a time: ten times as long. Each of these is
the reduction of a textbook and the first terms of a Taylor series, so many that what follows is below the rounding of
the dtype. Their errors are at most 3 units in the last place (a test holds that).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types

from .views import cast, intrinsic, jit

LOG2_E = 1 / math.log(2)
# log 2 in two parts. The first has few digits, so that its product with an exponent is exact, also in float32.
LN2_HIGH = 0.693359375
LN2_LOW = -2.121944400546905827679e-4
EXPONENTS = {32: (23, 127), 64: (52, 1023)}  # by the bits of a number: the bits of its fraction, and the bias


def series(term: Callable[[int], float], counts: dict[int, int]) -> Any:
    """A function of x: Σ term(k) xᵏ, with so many terms for numbers of 32 and of 64 bits, by Horner's rule."""

    @intrinsic
    def sum_of_terms(typing: Any, x: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            numbers = [context.get_constant(x, term(k)) for k in range(counts[x.bitwidth])]
            total = numbers.pop()
            for number in reversed(numbers):
                product = builder.fmul(total, args[0], flags=["contract"])
                total = builder.fadd(product, number, flags=["contract"])
            return total

        return x(x), codegen

    return sum_of_terms


exp_series = series(lambda k: 1 / math.factorial(k + 1), {32: 7, 64: 13})  # (exp(r) - 1) / r for |r| <= log(2) / 2
sin_series = series(lambda k: (-1) ** k / math.factorial(2 * k + 1), {32: 7, 64: 12})  # sin(x) / x of x², |x| <= π/2
atanh_series = series(lambda k: 2 / (2 * k + 1), {32: 5, 64: 11})  # 2 atanh(s) / s of s², for |s| <= 0.172


@intrinsic
def nearest(typing: Any, x: Any) -> Any:
    """The nearest integer, as a float."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.call(builder.module.declare_intrinsic("llvm.rint", [args[0].type]), args)

    return x(x), codegen


@intrinsic
def power_of_two(typing: Any, n: Any) -> Any:
    """2ⁿ for a float n that is an integer: its bits are those of the exponent. 1 if n is NaN."""
    fraction, bias = EXPONENTS[n.bitwidth]

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bits, (number,) = ir.IntType(n.bitwidth), args
        known = builder.select(builder.fcmp_ordered("ord", number, number), number, number.type(0.0))
        exponent = builder.add(builder.fptosi(known, bits), bits(bias))
        return builder.bitcast(builder.shl(exponent, bits(fraction)), number.type)

    return n(n), codegen


@intrinsic
def fraction_of(typing: Any, x: Any) -> Any:
    """f in [1, 2), where x = f 2ⁿ > 0."""
    fraction, bias = EXPONENTS[x.bitwidth]

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bits = ir.IntType(x.bitwidth)
        kept = builder.and_(builder.bitcast(args[0], bits), bits((1 << fraction) - 1))
        return builder.bitcast(builder.or_(kept, bits(bias << fraction)), args[0].type)

    return x(x), codegen


@intrinsic
def exponent_of(typing: Any, x: Any) -> Any:
    """n as a float, where x = f 2ⁿ > 0 and f lies in [1, 2)."""
    fraction, bias = EXPONENTS[x.bitwidth]

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bits = ir.IntType(x.bitwidth)
        exponent = builder.lshr(builder.bitcast(args[0], bits), bits(fraction))
        return builder.sitofp(builder.sub(exponent, bits(bias)), args[0].type)

    return x(x), codegen


@intrinsic
def range_of_exp(typing: Any, x: Any) -> Any:
    """The smallest and the largest x whose exp is a normal number, rounded inwards."""
    low, high = {32: (-87.3, 88.0), 64: (-708.3, 709.0)}[x.bitwidth]

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        limits = [context.get_constant(x, low), context.get_constant(x, high)]
        return context.make_tuple(builder, signature.return_type, limits)

    return types.UniTuple(x, 2)(x), codegen


@jit
def _reduced(x: Any) -> tuple[Any, Any]:
    """s and p, where exp(x) = s + s p, s is a power of 2, and p = exp(r) - 1 for a small r."""
    low, high = range_of_exp(x)
    x = low if x < low else high if x > high else x  # NaN stays NaN
    n = nearest(x * cast(LOG2_E, x))
    r = (x - n * cast(LN2_HIGH, x)) - n * cast(LN2_LOW, x)
    return power_of_two(n), exp_series(r) * r


@jit
def exp(x: Any) -> Any:
    """eˣ. Where it would be subnormal it is 0, where it would be infinite about the largest number."""
    s, p = _reduced(x)
    low, _ = range_of_exp(x)
    return cast(0, x) if x < low else s + s * p


@jit
def exp_or_infinity(x: Any) -> Any:
    """eˣ, infinite above `range_of_exp`: for results that must not look plausible if they overflow."""
    _, high = range_of_exp(x)
    return cast(math.inf, x) if x > high else exp(x)


@jit
def expm1(x: Any) -> Any:
    """eˣ - 1, exact also for small x."""
    s, p = _reduced(x)
    return s * p + (s - cast(1, x))


@jit
def log(x: Any) -> Any:
    """log x, for normal numbers above 0. NaN for infinity."""
    f, n = fraction_of(x), exponent_of(x)
    above = f > cast(math.sqrt(2), x)
    f = (f * cast(0.5, x) if above else f) - cast(1, x)
    n = n + cast(1, x) if above else n
    s = f / (f + cast(2, x))  # log(1 + f) = 2 atanh(s)
    total = n * cast(LN2_HIGH, x) + (n * cast(LN2_LOW, x) + atanh_series(s * s) * s)
    return total + (x - x)  # NaN, if x is


@jit
def log1p(x: Any) -> Any:
    """log(1 + x), exact also for small x, for x >= 0 (Kahan: the second term corrects the rounding of 1 + x)."""
    u = x + cast(1, x)
    return log(u) + (x - (u - cast(1, x))) / u


@jit
def tanh(x: Any) -> Any:
    """tanh x = (1 - e) / (1 + e)  with  e = exp(-2 |x|)."""
    size = -x if x < cast(0, x) else x
    t = expm1(size * cast(-2, x))
    y = -t / (t + cast(2, x))
    return -y if x < cast(0, x) else y


@jit
def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x))."""
    one = cast(1, x)
    return one / (one + exp(-x))
