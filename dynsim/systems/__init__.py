"""The systems, one folder a paper; `dynsim.registry` lists them."""
