"""A real model server under trial: started as a process, asked over every protocol, loaded, and stopped."""
