"""The project inside other tools, one thin module per tool; each is importable alone."""
