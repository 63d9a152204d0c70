"""What is behind the views under Learn: stories, guessing games, teaching, the camera, limits.

Nothing here imports gradio; the views themselves are in `camviz.ui.tabs`.
"""
