"""The prefetch instruction is compiled in, changes no result, and may be missing."""

import logging

import numpy as np
import pytest
from llvmlite import ir
from numba import njit

from matching_service.index.prefetch import fetch


def total_of_squares():
    """A new function, compiled at its first call."""

    @njit
    def total(numbers):
        found = 0
        for i in range(len(numbers)):
            fetch(numbers, min(i + 8, len(numbers) - 1))
            found += numbers[i] * numbers[i]
        return found

    return total


NUMBERS = np.arange(100)


def test_the_instruction_is_compiled_in(caplog: pytest.LogCaptureFixture) -> None:
    total = total_of_squares()
    assert total(NUMBERS) == 328_350
    assert "llvm.prefetch" in next(iter(total.inspect_llvm().values()))
    assert not caplog.records


def test_another_interface_of_llvmlite_costs_speed_only(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    declare = ir.Module.declare_intrinsic

    def without_prefetch(module, name, *arguments):
        if name == "llvm.prefetch":
            raise NotImplementedError(name)
        return declare(module, name, *arguments)

    monkeypatch.setattr(ir.Module, "declare_intrinsic", without_prefetch)
    total = total_of_squares()
    with caplog.at_level(logging.WARNING):
        assert total(NUMBERS) == 328_350
    assert "llvm.prefetch" not in next(iter(total.inspect_llvm().values()))
    assert [record.message for record in caplog.records] == ["prefetch_not_compiled"]
