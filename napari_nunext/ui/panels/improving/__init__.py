"""The Improve tab: what there is to learn from, and what a training made of it.

Inside: `improve_panel` is the tab, `outcome_card` the figures of a new detector, `teach_card`
answerers, with `answers_table` for their figures. It may import what panels share.
"""
