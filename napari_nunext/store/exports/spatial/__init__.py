"""Tables of nuclei with types, for spatial biology: Parquet and AnnData."""
