"""Scripts that interpreters of other environments run; they import nothing of ours."""
