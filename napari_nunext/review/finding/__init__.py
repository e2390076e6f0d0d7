"""Asking a model for nuclei: the server, the choice of a model, one search and its pace."""
