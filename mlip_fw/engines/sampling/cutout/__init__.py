"""Small periodic cells around one atom of a large cell."""
