"""The detector of the paper: a model that writes one nucleus after another.

Inside: `detector` is what others use. It asks `pool`, which decodes windows of all who ask as one
batch, with `decoder`, `row_cache` and `drafts`; `sampling` draws replies by lot, `replies` reads
what was said, `second_look` decides about categories once more, `capacity` knows what a device
takes at once. It may import `checkpoints` and `families`; `catalog` and training import it. Other
ways to decode go beside `decoder`; engines outside this process are in `vllm`.
"""
