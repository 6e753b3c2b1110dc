"""Failing calls, damaged inputs and killed processes, for the benchmark `faults`."""
