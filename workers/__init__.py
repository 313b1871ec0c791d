"""The stages: one file each, and `pipeline.py` says which there are and in what order they speak."""
