"""A registered version taken to production: signed, immutable, behind one pointer; and brought from there, checked."""
