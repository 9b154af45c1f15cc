"""What decides and records a promotion: candidates, gate, ledger."""
