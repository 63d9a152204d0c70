"""What each control of the left panel is for, in one sentence: by the id of its component."""

HELP = {
    "kept": "Upload, photograph or paste a picture, or click an example; several can be held at "
    "once.",
    "backbone": "The backbone is the trained network whose decision is explained; type a part of "
    "its name, such as resnet, to find it.",
    "filters": "These two shorten the list of backbones: to one family of networks, and to where "
    "their trained weights are.",
    "untrained": "Random weights in place of trained ones, as a test: a map that looks the same "
    "with both tells nothing about what was learned.",
    "says": "The five classes that the network holds most likely; click one to see where it looks "
    "for it.",
    "classes": "Left, the class that is explained, found by name or number; right, another class "
    "to compare it with, or the three that come nearest to it.",
    "stages": "A layer is one step of the network: deep ones see few large cells and whole things, "
    "shallow ones many small cells and edges.",
    "modules": "Any other part of the network can be explained as well, by the name that it has in "
    "the program.",
    "method": "The method turns what a layer computed into a map of how much each place counts.",
    "fuse": "Fusion makes one map out of those of all ticked layers.",
    "refine": "The refined map spreads the fused one to what looks alike to the network: it shows "
    "which thing is meant, and less exactly what counted.",
    "shown-as": "Maps of the picture, its mirror image and other sizes can be averaged: steadier, "
    "and as many times slower.",
    "fit": "The network takes a square of fixed size, so the picture is stretched, bordered or cut "
    "to it.",
    "tap": "Whether a layer is read after its activation, where nothing is below zero, or as it "
    "leaves the layer.",
    "placement": "Where the cells of a map are drawn: in an even grid, or where each cell was "
    "measured to look.",
    "saved": "How large the maps in a downloaded zip are drawn: for a screen, or as large as the "
    "picture itself.",
}
