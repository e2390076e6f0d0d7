"""Made-up input for everything that is read: damaged files, hostile values, senseless options.

Every input follows from a seed, the name of its subject and a number, so that any of them can be
made again alone. `benchmarks.fuzz` runs them and counts what escapes.
"""
