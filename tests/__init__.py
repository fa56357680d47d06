import sys

# in children of tests there is no pytest, and it would take them long to import it
if (pytest := sys.modules.get("pytest")) is not None:
    pytest.register_assert_rewrite("tests.helpers")
