"""Start structures and their fixed atoms, geometry, and the user's labelled structures."""
