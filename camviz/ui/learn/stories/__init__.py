"""The four stories of *How it works*: what an explanation computed, told step by step.

Each module makes one `camviz.ui.viewer.stories.Story` of an explanation; numbers and maps are the
engine's. Nothing here imports gradio.
"""
