"""Questions about an image, and what a reply to them says.

Inside: `prompts` are the paper's words, `reply` is the grammar of what comes back, `boxes` and
`budget` bring places from the picture that a model was sent to the slide; `reading` is both, and
`rewriting` brings them into the words of another picture. `field`, `questions` and `counts` answer
from nuclei, without a model. `opinions` is what a person says of an answer, `agreement` and
`ranking` are what several people's judgements add up to. `points` is NuNext's own instruction. All
is numpy and scipy: the app, the server, exports and rewards read replies by the same rules. Another
way to write boxes or thoughts is an entry in `boxes.CONVENTIONS` or `reply.THOUGHTS`.
"""
