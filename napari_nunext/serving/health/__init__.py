"""How a server is.

Inside: `self_check` finds what is wrong, `metrics` counts for Prometheus, `device` names what
models run on, `failures` says in a sentence what went wrong in a model. It imports none of its
neighbours.
"""
