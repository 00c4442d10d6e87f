"""What every part of the toolkit uses: errors, the command line, files, run folders."""
