"""What people do with the outputs: each application is a folder or file of its own."""
