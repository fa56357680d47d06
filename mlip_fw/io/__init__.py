"""Reading and writing of files: files to models and structures, and back."""
