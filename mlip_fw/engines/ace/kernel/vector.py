"""A SIMD vector type for numba, and memory access by address.

A compiler vectorises a loop only if it can prove that arrays don't overlap, which it can't for rows of one array.
With an explicit vector of eight numbers there is nothing to prove: LLVM makes one AVX-512 instruction, or two of
AVX2, of each operation. Arrays are passed by address, because numba counts references whenever an array is passed.
The caller keeps the array alive, and no index may be out of its bounds.
"""

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model

WIDTH = 8
_DOUBLE = ir.DoubleType()
_LANES = ir.VectorType(_DOUBLE, WIDTH)
_FLAGS = ("nsz", "arcp", "contract")


class Vector(types.Type):
    """numba type of a vector of eight double-precision numbers."""

    def __init__(self) -> None:
        super().__init__(name="Vector")


vector = Vector()


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _LANES)


def _place(builder: Any, address: Any, index: Any, kind: Any) -> Any:
    """Return a pointer to element ``index`` at an address; all elements take eight bytes."""
    pointer = builder.inttoptr(address, ir.PointerType(_DOUBLE))
    return builder.bitcast(builder.gep(pointer, [index]), kind.as_pointer())


def _reader(kind: Any, made: Any) -> Any:
    @intrinsic
    def read_it(_: Any, address: Any, index: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.load(_place(builder, arguments[0], arguments[1], kind), align=8)

        return made(types.intp, types.intp), code

    return read_it


def _writer(kind: Any, given: Any) -> Any:
    @intrinsic
    def write_it(_: Any, address: Any, index: Any, value: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            builder.store(arguments[2], _place(builder, arguments[0], arguments[1], kind), align=8)
            return context.get_dummy_value()

        return types.void(types.intp, types.intp, given), code

    return write_it


_INTEGER = ir.IntType(64)
load, store = _reader(_LANES, vector), _writer(_LANES, vector)
"""Load or store eight consecutive numbers from an index on."""
read, write = _reader(_DOUBLE, types.float64), _writer(_DOUBLE, types.float64)
"""Load or store one number."""
read_int, write_int = _reader(_INTEGER, types.int64), _writer(_INTEGER, types.int64)
"""Load or store one integer."""


@intrinsic
def unpack(_: Any, kind: Any, address: Any) -> Any:
    """Return a named tuple of consecutive integers: one address is passed from Python faster than all of them."""
    made = types.NamedUniTuple(types.int64, len(kind.instance_class._fields), kind.instance_class)

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        numbers = [
            builder.load(_place(builder, arguments[1], ir.Constant(_INTEGER, k), _INTEGER), align=8)
            for k in range(made.count)
        ]
        return context.make_tuple(builder, signature.return_type, numbers)

    return made(kind, types.intp), code


@intrinsic
def spread(_: Any, number: Any) -> Any:
    """Broadcast a number to a vector."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        one = builder.insert_element(ir.Constant(_LANES, ir.Undefined), arguments[0], ir.Constant(ir.IntType(32), 0))
        places = ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), [0] * WIDTH)
        return builder.shuffle_vector(one, ir.Constant(_LANES, ir.Undefined), places)

    return vector(types.float64), code


@intrinsic
def muladd(_: Any, a: Any, b: Any, c: Any) -> Any:
    """Return a · b + c, fused where the processor can."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(_LANES, [_LANES] * 3), f"llvm.fmuladd.v{WIDTH}f64"
        )
        return builder.call(function, arguments)

    return vector(vector, vector, vector), code


@intrinsic
def total(_: Any, a: Any) -> Any:
    """Return the sum of the elements."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(_DOUBLE, [_DOUBLE, _LANES]), f"llvm.vector.reduce.fadd.v{WIDTH}f64"
        )
        return builder.call(function, [ir.Constant(_DOUBLE, -0.0), arguments[0]], fastmath=("reassoc", "nsz"))

    return types.float64(vector), code


@intrinsic
def absolute(_: Any, a: Any) -> Any:
    """Return the absolute values."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(_LANES, [_LANES]), f"llvm.fabs.v{WIDTH}f64"
        )
        return builder.call(function, arguments)

    return vector(vector), code


@intrinsic
def larger(_: Any, a: Any, b: Any) -> Any:
    """Return the elementwise maximum; undefined where an element is NaN."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.select(builder.fcmp_ordered(">", *arguments), *arguments)

    return vector(vector, vector), code


def _operation(build: str) -> Any:
    @intrinsic
    def apply(_: Any, a: Any, b: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return getattr(builder, build)(*arguments, flags=_FLAGS)

        return vector(vector, vector), code

    return apply


@intrinsic
def root(_: Any, a: Any) -> Any:
    """Return the square roots."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(_LANES, [_LANES]), f"llvm.sqrt.v{WIDTH}f64"
        )
        return builder.call(function, arguments)

    return vector(vector), code


@intrinsic
def transpose(_: Any, source: Any, at: Any, stride: Any, target: Any, to: Any, target_stride: Any) -> Any:
    """Transpose a block of eight rows of eight numbers, whose rows are ``stride`` apart."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, at, stride, target, to, target_stride = arguments
        rows = []
        for k in range(WIDTH):
            index = builder.add(at, builder.mul(stride, ir.Constant(stride.type, k)))
            rows.append(builder.load(_place(builder, source, index, _LANES), align=8))
        half = WIDTH
        while half > 1:
            half //= 2
            low = [c + (WIDTH if (c // half) % 2 else 0) - (half if (c // half) % 2 else 0) for c in range(WIDTH)]
            high = [c + half for c in low]
            new = list(rows)
            for k in range(WIDTH):
                if (k // half) % 2 == 0:
                    pair = rows[k], rows[k + half]
                    new[k] = builder.shuffle_vector(*pair, _places(low))
                    new[k + half] = builder.shuffle_vector(*pair, _places(high))
            rows = new
        for k in range(WIDTH):
            index = builder.add(to, builder.mul(target_stride, ir.Constant(target_stride.type, k)))
            builder.store(rows[k], _place(builder, target, index, _LANES), align=8)
        return context.get_dummy_value()

    return types.void(*[types.intp] * 6), code


def _places(indices: list[int]) -> Any:
    return ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), indices)


_add, _sub, _mul, _div = (_operation(name) for name in ("fadd", "fsub", "fmul", "fdiv"))


def _overloaded(operation: Any, apply: Any) -> None:
    @overload(operation)
    def found(a, b):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - numba compares it with what it returns
        if isinstance(a, Vector) and isinstance(b, Vector):
            return lambda a, b: apply(a, b)  # noqa: PLW0108 - numba takes functions of Python here
        return None


for _operator, _apply in ((operator.add, _add), (operator.sub, _sub), (operator.mul, _mul), (operator.truediv, _div)):
    _overloaded(_operator, _apply)
