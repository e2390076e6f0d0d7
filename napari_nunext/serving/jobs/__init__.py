"""What a server does for its callers, and in whose turn.

Inside: `detect` (events in `detection_events`) and `segment` are the kinds of jobs; `streams` sends
what they make, `fair_queue` says whose turn it is, `worker` is the one thread in which models run,
and `workshop` holds what all jobs need. It may import the server's `models` and `health`. The next
kind of job is a module here.
"""
