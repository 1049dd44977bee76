"""Raw files: the registry, the check before a run, downloads, and the readers."""
