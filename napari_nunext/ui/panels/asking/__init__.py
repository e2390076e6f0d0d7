"""The Ask tab: what is asked of whom, the answer with its evidence, and what a person says of it.

`ask_panel` puts it together. All text of models and people is shown as it stands, never as mark-up.
"""
