"""How models learn, step after step.

Inside: `next_point` (SFT), `grpo` (RFT, with `rollouts`, `vllm_rollouts`, `verl_adapter`), `masks`
(SAM), `atomic` and `answers` are trainers; `task_trainer` is what those share that learn examples
by a loss, `run_keeping` what all of them share; `covt`, `heads`, `centre_map`, `last_output` and
`lora` are what is added to a model while it learns. It may import `data`, `runs`, `recipes` and
`method`; `tasks` and `stages` import it. A trainer knows a task by `nunext_training.data.task`
alone.
"""
