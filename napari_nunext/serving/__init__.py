"""The model server, its protocol, its client, and the launcher of a local one."""
