"""Immunohistochemistry that is painted over H&E: tissue as it is, stain as we choose."""
