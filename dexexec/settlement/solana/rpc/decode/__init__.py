"""Decodes the JSON results of nodes into values of the domain. Pure.

A result of another shape raises one of `values.DECODE_ERRORS`; the caller then treats the node as having given no
answer.
"""
