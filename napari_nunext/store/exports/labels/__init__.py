"""Label images of nuclei, for slides of any size: painted, and written as files."""
