"""The agent as a service: signals, what systemd is told and keeps, the journal, its successor."""
