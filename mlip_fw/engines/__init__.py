"""The science as plain functions, without FireWorks and without a campaign directory."""
