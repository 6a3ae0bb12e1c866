"""`python -m headrace_cli`, as the supervisor starts each worker."""

from headrace_cli.main import app

app(prog_name="headrace")
