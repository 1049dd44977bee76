"""Tables of a run: frames, and Markdown made of them."""
