"""`swarmchat models`: list the models of a server, and test them."""
