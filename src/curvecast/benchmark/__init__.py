"""Train and predict the cells of a job; scores, comparisons between models, LCBench's Task A."""
