"""Networks that are really trained: data, models and epoch loops. Needs torch."""
