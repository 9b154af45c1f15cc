"""What a study found: statistics, diagnosis and the report."""
