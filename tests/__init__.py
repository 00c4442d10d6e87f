"""The tests; a package, so that one of the same name that a library installs does not take its place."""
