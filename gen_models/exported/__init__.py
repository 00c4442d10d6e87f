"""Source files that ``run_pegasus.py export`` copies into what it exports; they need torch and diffusers alone."""
