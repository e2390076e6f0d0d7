"""What a server does for its callers, and in whose turn.

Inside: `detect` (events in `detection_events`), `segment` and `ask` are the kinds of jobs, listed
in `kinds`; `kind` is what each says of itself. `desk` does the rest for all of them, with a `work`
for each request; `fair_queue` says whose turn it is, `worker` is the one thread in which models
run. It may import the server's `models` and `health`. The next kind of job is a module here, its
messages in `protocol`, and a line in `kinds`.
"""
