"""One authenticated account: credentials and secrets, login, limits, the flow driver, supervised streams."""
