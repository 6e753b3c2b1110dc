"""Metrics and HTML reports of the commands."""
