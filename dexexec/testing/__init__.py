"""The contract that every adapter must keep, as checks for any test runner. Public, for authors of adapters.

`for check in dexexec.testing.contract.CHECKS: await check(dexexec.testing.harness.Harness(MyVenue))` runs all of them
and raises `ContractViolation`. `python -m dexexec adapters check NAME` runs the same checks and prints a report.
"""
