"""For authors of adapters: the contract that every adapter must keep, as checks for any test runner.

    from dexexec.testing.contract import CHECKS, report
    from dexexec.testing.harness import Harness

    for check in CHECKS:
        await check(Harness(MyVenue))  # raises ContractViolation

`python -m dexexec adapters check NAME` runs the same checks and prints a report.
"""
