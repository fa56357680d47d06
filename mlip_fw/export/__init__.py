"""A potential with all that its readers need: files, dataset, examples, model card, and the way to make it again."""
