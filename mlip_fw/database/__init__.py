"""The one-machine LaunchPad server: what MongoDB's drivers expect, on a loopback port and one file."""

HOST = "127.0.0.1"
"""The only address it ever listens on."""

NAME = "fireworks"
"""The database of the LaunchPad."""

USER = "mlip_fw"
