"""Reference calculations, run and checked by custodian."""
