"""A run in the formats of other tools.

    from camviz.bulk.exports.table import EXPORTS, export
    export(Cut(run), "coco", "out/birds-coco")

One module for each format, with a function that fills an empty folder.
"""
