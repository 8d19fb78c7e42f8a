"""Simulated vendors: real HTTP servers on 127.0.0.1 that follow the vendors' contract pages.

A vendor is a package here; `server`, `faults` and `simulator` are what they share.
"""
