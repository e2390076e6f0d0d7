"""Every kind of event, declared once: what it carries, what it does, and its words.

A module holds what is about one thing: `nuclei`, `images`, `regions`, `categories`, `settings`,
`history`. The next kind is one `declare(EventKind(...))` in the module of what it is about
(docs/extending.md). Checks of what is carried are in `store.checks`; what a fold may do is
`store.state.folding.Fold`.
"""
