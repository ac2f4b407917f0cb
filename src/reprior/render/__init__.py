"""Tables, figures and the report, made from results on disk."""
