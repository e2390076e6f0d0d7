"""NuNext's Table 5 as runs that go on from one another.

Inside: `plan`, `runs` (each once, on disk), `report`. It stands on `stages` and `reports`.
"""
