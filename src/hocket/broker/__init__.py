"""Between the workers of an instance: events, questions, connections that move."""
