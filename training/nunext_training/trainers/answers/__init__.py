"""How answerers learn.

Inside: `by_trl` (TRL's trainers with the folder of a run), `packed` (supervised, all questions of a
picture behind one prefill), `allocator` (how many image tokens a question deserves) and `vllm`
(replies that a server draws). It may import what the other trainers may; the next one is a module
here, and a line in `stages.answers`.
"""

from __future__ import annotations

from nunext_training.trainers.answers.by_trl import TRAINERS, AnswerTrainer, reward_function
from nunext_training.trainers.answers.packed import PackedSftTrainer

__all__ = ["TRAINERS", "AnswerTrainer", "PackedSftTrainer", "reward_function"]
