"""Export of a potential: files, dataset, examples, model card, and how to reproduce it."""
