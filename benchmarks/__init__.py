"""What the package costs, beside its drivers and beside others: `make bench`."""
