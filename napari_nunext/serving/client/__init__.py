"""The app's side of the wire.

Inside: `client` talks to a server, `found` folds what it streams into nuclei, `patience` waits for
one that is busy, `local_server` starts one on this machine, `leases` keeps one for all windows. It
may import `protocol` and `settings`; it imports neither the server nor a model, and anything may
import it but the server.
"""
