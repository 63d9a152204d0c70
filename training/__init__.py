"""Makes the bundled backbones: `python -m training NAME [--data DIR] [--teacher WHERE]`.

NAME is a row of RECIPES. A run is a function of its row, the seed and the pictures: step k draws
its random numbers from (seed, k), so a run that was stopped goes on from its last checkpoint to
the very weights it would have had anyway. It leaves a folder in timm's own `local-dir:` format,
with a model card whose figures come from the run.

    pictures -> Corpus -> augment (crop, backdrop, light) -> blend -> student -> average -> folder
"""
