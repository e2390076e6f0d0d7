"""Reports for people, as JSON, Markdown and HTML that fetch nothing.

Inside: `evaluation` is the report of scores, `curves` that of runs, `pages` and `drawings` are what
both use. It may import `evaluation` and `runs`.
"""
