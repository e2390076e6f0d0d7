"""How models learn, step after step.

Inside: `next_point` (SFT), `grpo` (RFT, with `rollouts`, `vllm_rollouts`, `scoring`,
`prompted_masks`, `verl_adapter`), `masks` (SAM) and `atomic` are trainers; `run_keeping` is what
they share; `covt`, `heads`, `centre_map`, `last_output` and `lora` are what is added to a model
while it learns. It may import `data`, `runs`, `recipes` and `method`; `stages` imports it.
"""
