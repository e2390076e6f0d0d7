"""Figures of answerers.

Inside: `answers` puts questions, `rules` answers them without a model, `answer_scores` and `kinds`
have the figures, `following` tells whether answers follow from their evidence, `agreement` whether
readers prefer what a model does, and `answer_rows` puts several answerers beside each other;
`tabulating`, `choosing` and `budgets` are of image tokens. It may import what
`nunext_training.evaluation` may. The next figure of answers is a module here.
"""
