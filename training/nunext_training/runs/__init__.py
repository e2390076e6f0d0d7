"""A training run on disk and over processes.

Inside: `context`, `folder`, `progress`, `processes`, `sharding`, `files`, `errors`. It knows
nothing of models that learn or of data; everything above imports it.
"""
