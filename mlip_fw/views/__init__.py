"""Looking at campaigns: analysis, report, web pages, notebooks."""
