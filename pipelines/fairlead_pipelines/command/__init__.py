"""The command `fairlead`: one module a subcommand."""
