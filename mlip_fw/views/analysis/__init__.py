"""What happened in a campaign, read from its directory alone: the data that pages, figures and the terminal show."""
