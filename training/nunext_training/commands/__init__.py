"""The subcommands of ``nunext-train``, a module each; `options` is what they share.

A command parses, calls the wing that does the work, and prints. Nothing but `cli` imports it. The
next command is a module here and a line in `cli`.
"""
