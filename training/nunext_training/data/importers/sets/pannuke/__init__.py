"""PanNuke in both of its layouts: arrays of NumPy, and Parquet."""
