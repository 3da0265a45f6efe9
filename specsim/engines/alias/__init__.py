"""The alias engine: token and rejection drawn at once, from collapsed laws."""
