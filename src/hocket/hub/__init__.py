"""What one worker knows: its connections, sockets and rooms; and the fan-out. It reaches the
network only through a Transport.
"""
