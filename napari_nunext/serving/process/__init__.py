"""The server as a process.

Inside: `serve` runs one, `supervisor` starts another when it dies, `engine` keeps a vLLM beside it,
`logs` writes for those who collect them. It may import everything of the server; the command line
starts it.
"""
