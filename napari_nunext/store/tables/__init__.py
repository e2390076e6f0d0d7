"""A project's rows: schema, transactions, the journal, runs, settings, and whether all is whole.

The only place that speaks SQL. A change of the schema goes into `schema` and, for projects that
exist, into `migrations`.
"""
