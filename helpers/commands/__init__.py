"""What the scripts' commands do: a function of each takes the command's Context. `script` puts them behind Sacred's command line."""
