"""The processor's prefetch instruction, for which numba has no name. The only module that speaks to llvmlite."""

import logging
from collections.abc import Callable
from typing import Any, cast

from numba import types
from numba.extending import intrinsic

logger = logging.getLogger(__name__)


@cast(Callable[[Any], Callable[[Any, Any], None]], intrinsic)
def fetch(_context: Any, array: Any, place: Any) -> Any:
    """Begin to read ``array[place]`` from memory without waiting for it. The place must be inside the array.

    It is a hint, and no result depends on it. llvmlite comes with numba, whose releases decide its version: where its
    interface is no longer the one used here, kernels are compiled without the instruction. At 100,000 profiles a query
    then takes a fifth to a third longer.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        try:
            _emit(builder, context.make_array(signature.args[0])(context, builder, arguments[0]).data, arguments[1])
        except (AttributeError, ImportError, NotImplementedError, TypeError) as error:
            logger.warning("prefetch_not_compiled", extra={"reason": repr(error)})
        return context.get_dummy_value()

    return types.void(array, place), generate


def _emit(builder: Any, data: Any, place: Any) -> None:
    from llvmlite import ir  # noqa: PLC0415  # inside what may fail

    byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
    takes = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
    function = builder.module.declare_intrinsic("llvm.prefetch", [byte], takes)
    to_read, to_keep, data_cache = number(0), number(3), number(1)
    builder.call(function, [builder.bitcast(builder.gep(data, [place]), byte), to_read, to_keep, data_cache])
