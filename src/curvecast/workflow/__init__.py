"""What the workflow asks of the library: configuration, plan of jobs, job log."""
