"""Several processes that serve as one: who sits where, who takes a connection, what they ask each other."""
