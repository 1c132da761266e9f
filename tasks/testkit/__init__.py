"""For tests of your own parts: small made data, faults to put into it, and a test for each contract.

    # conftest.py
    pytest_plugins = ["tasks.testkit.plugin"]  # fixtures tiny_table, tiny_images, tiny_texts, …

    # test_my_parts.py
    from tasks import testkit
    import my_parts

    def test_network():
        testkit.check_network(my_parts.Net, width=24)

    def test_operation(tiny_table):
        testkit.check_operation(my_parts.tidy, tiny_table, column="size")

Every check raises AssertionError that says what the contract is; `tasks.own.contracts` has them all.
"""

from tasks.testkit.data import tiny_context, tiny_images, tiny_table, tiny_texts
from tasks.testkit.faults import corrupt, drift, leak, nan, null
from tasks.testkit.networks import IMAGES, TABLE, TEXTS, check_network
from tasks.testkit.rows import check_loader, check_operation, check_step
from tasks.testkit.rungs import check_baseline, check_metric

__all__ = [
    "IMAGES",
    "TABLE",
    "TEXTS",
    "check_baseline",
    "check_loader",
    "check_metric",
    "check_network",
    "check_operation",
    "check_step",
    "corrupt",
    "drift",
    "leak",
    "nan",
    "null",
    "tiny_context",
    "tiny_images",
    "tiny_table",
    "tiny_texts",
]
