"""Further methods of ``nunext-train ask``, a module each; `add_parser` adds one."""
