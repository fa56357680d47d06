"""Start structures, geometry and the user's labelled structures."""
