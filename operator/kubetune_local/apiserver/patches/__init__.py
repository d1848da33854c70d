"""Ways to change an object: JSON patch, merge patch, strategic merge patch. All return a new value."""
