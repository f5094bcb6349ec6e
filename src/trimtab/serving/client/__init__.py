"""Callers of a prediction server: `trimtab.Client` and `trimtab.AsyncClient`, over connections of their own.

A request by them costs a tenth of the processor time that a general HTTP library takes, and needs no package more than
the server itself.
"""
