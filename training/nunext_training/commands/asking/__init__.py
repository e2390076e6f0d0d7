"""The methods of ``nunext-train ask`` that train nothing, a module each; `add_parser` adds one."""
