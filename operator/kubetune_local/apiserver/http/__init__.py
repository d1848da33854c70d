"""The HTTP side: paths, media types, authentication, answers and streams."""
