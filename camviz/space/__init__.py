"""The Hugging Face Space: its description, its rules, its files and its publication."""
