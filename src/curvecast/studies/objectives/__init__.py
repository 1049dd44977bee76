"""What studies minimise: recorded curves, real training, a predictor's own error."""
