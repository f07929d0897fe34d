"""Tables and figures over run records. Trains nothing and imports no torch; matplotlib only when it draws."""
