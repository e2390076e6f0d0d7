"""Detectors whose checkpoint runs in vLLM, in a process and environment of its own.

Two programs meet here. In ours, a detector asks over HTTP (`requests`, `connection`, `detector`)
and `offer` lists it among the models. In vLLM's, `plugin` holds replies to the codec's grammar; it
imports nothing of ours but the codec and what torch computes with it. `launch` says how vLLM is
started so that the two fit.
"""
