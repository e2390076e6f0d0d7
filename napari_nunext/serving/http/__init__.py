"""The HTTP face of the model server.

Inside: `app` has the routes, those of jobs in `jobs`; `guard` is what a connection passes before a
request of it is read, `gate` what a request passes, `keys` says who may enter, `callers` whether
they still listen, `errors` turns faults into answers, `peers` joins several processes. It may
import `service` and what is below; only `process` imports it. A new route goes into `app`; a new
kind of job needs none.
"""
