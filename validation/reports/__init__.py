"""Reports of a validation: table, JSON, JUnit and HTML."""
