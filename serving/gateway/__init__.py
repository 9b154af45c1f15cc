"""The gateway: the champion behind an API for programs, a page for people, and metrics for Prometheus."""
