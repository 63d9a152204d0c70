"""Outputs of modules, recorded and turned round by hand."""

import torch


def outputs_of(model, names, image):
    """name -> every output of that module in one forward pass, cloned before anything follows."""
    kept = {name: [] for name in names}
    modules = dict(model.named_modules())
    handles = [
        modules[name].register_forward_hook(
            lambda m, i, o, name=name: kept[name].append(o.clone() if torch.is_tensor(o) else o)
        )
        for name in names
    ]
    with torch.no_grad():
        model(image)
    for handle in handles:
        handle.remove()
    return kept


def by_hand(tensor, layout):
    """(1, C, H, W) of a raw output, cell by cell."""
    height, width = layout.grid
    if layout.kind == "NCHW":
        return tensor
    if layout.kind == "NHWC":
        return torch.stack([tensor[..., c] for c in range(tensor.shape[3])], dim=1)
    assert layout.kind == "NLC"
    rows = [[tensor[:, layout.prefix + y * width + x] for x in range(width)] for y in range(height)]
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def map_at(output, path):
    for key in path:
        output = output[key]
    return output


def named(stages):
    return {stage.name: stage for stage in stages}
