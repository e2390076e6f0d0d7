"""Training and evaluation of NuNext models: from an export of reviewed nuclei to a checkpoint."""
