"""The head-to-head: the same scenarios on Go, Node.js, Python and Hocket, and what follows."""
