"""The science as plain functions, free of FireWorks."""
