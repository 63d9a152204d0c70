"""camviz: see why an image classifier decided what it decided."""
