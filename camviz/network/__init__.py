"""Everything that runs or inspects a torch module."""
