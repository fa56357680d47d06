import pytest

pytest.register_assert_rewrite("tests.real.held_farm", "tests.real.slurm_farm")
