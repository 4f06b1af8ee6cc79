import pytest

pytest.register_assert_rewrite("contracts.index_contract")
