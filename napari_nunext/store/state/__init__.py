"""What an image's events add up to: nuclei, marks, acceptances, and what an undo brings back.

Events come from `store.event`; no file is touched here. What another kind of event does is said
where it is declared, in `store.kinds`.
"""
