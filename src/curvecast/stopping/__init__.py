"""Early stopping: rules for a training loop (`rule`), and what they buy on recorded runs."""
