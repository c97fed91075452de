"""For those who write venues: the contract that every adapter keeps, as checks that any test runner can call.

    from dexexec.testing.contract import CHECKS, report
    from dexexec.testing.harness import Harness

    for check in CHECKS:
        await check(Harness(MyVenue))  # raises ContractViolation

`python -m dexexec adapters check NAME` prints the same as a report.
"""
