"""The methods: pure functions of tensors, and the table that menus, README and tests read.

A method is given tensors, never a network. To add one: write the function, add a row here, and
write its slow twin in the tests.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from camviz.methods import activation, gradient


@dataclass(frozen=True)
class Method:
    """A row of the table: what a method is called, computes and needs.

    `summary` and `formula` are what the page shows of it: one sentence, and the formula typeset,
    in the symbols of the function's docstring. `needs` names the function's arguments:
    "activations" and "gradients" of a stage, or "features" and "weights" of the head, which exist
    for the last map only, or "foreground" and "context", a stage's prototypes of the class
    (`camviz.prototypes`). `smooth`: the checkerboard that strided layers leave in a gradient may
    be smoothed out of this one's. Methods that pool the gradient average it away; HiRes-CAM shows
    it, but its sum is the score. `fuse`: how the maps of all stages become one unless another way
    is requested (`camviz.maps.fusion.FUSIONS`): what came closest to the truth on scenes,
    photographs on other ones, and mosaics (docs/figures.md).
    """

    label: str
    function: Callable[..., Tensor]
    paper: str
    summary: str
    formula: str
    needs: tuple[str, ...] = ("activations", "gradients")
    smooth: bool = False
    signed: bool = True
    class_specific: bool = True
    fuse: str = "stretched_mean"

    @property
    def uses_gradients(self) -> bool:
        """Whether it reads the gradient of the class score."""
        return "gradients" in self.needs

    @property
    def truncates(self) -> bool:
        """Whether the gradient that it reads is that of a stage, which can be truncated."""
        return "gradients" in self.needs

    @property
    def uses_head(self) -> bool:
        """Whether it reads the weights of the classifier, and so exists at the last map only."""
        return "features" in self.needs

    @property
    def uses_prototypes(self) -> bool:
        """Whether it compares features with prototypes of the class."""
        return "foreground" in self.needs


METHODS: dict[str, Method] = {
    "layer_cam": Method(
        "LayerCAM",
        gradient.layer_cam,
        "Jiang et al., TIP 2021",
        "Each place counts as much as a stronger answer there would raise the score.",
        "M = Σ_k ReLU(g_k) · A_k",
        smooth=True,
    ),
    "layer_cam_elementwise": Method(
        "LayerCAM, element-wise",
        gradient.layer_cam_elementwise,
        "GradCAMElementWise, pytorch-grad-cam",
        "What each place adds to the score; what it takes away is left out.",
        "M = Σ_k ReLU(g_k · A_k)",
        smooth=True,
        signed=False,
    ),
    "grad_cam": Method(
        "Grad-CAM",
        gradient.grad_cam,
        "Selvaraju et al., ICCV 2017",
        "A channel counts as much as it raises the score, on average over the picture.",
        "M = Σ_k mean_hw(g_k) · A_k",
    ),
    "grad_cam_pp": Method(
        "Grad-CAM++",
        gradient.grad_cam_pp,
        "Chattopadhay et al., WACV 2018",
        "Weighted so that several small things count like a big one.",
        "w_k = Σ_hw ReLU(g_k) / (2 + S_k · ReLU(g_k)),  S_k = Σ_hw A_k;   M = Σ_k w_k · A_k",
    ),
    "xgrad_cam": Method(
        "XGrad-CAM",
        gradient.xgrad_cam,
        "Fu et al., BMVC 2020",
        "A channel counts as much as it raises the score where it answers.",
        "w_k = Σ_hw(g_k · A_k) / S_k,  S_k = Σ_hw A_k;   M = Σ_k w_k · A_k",
    ),
    "hires_cam": Method(
        "HiRes-CAM",
        gradient.hires_cam,
        "Draelos and Carin, 2020",
        "What each place adds to the score, less what it takes away.",
        "M = Σ_k g_k · A_k",
    ),
    "eigen_cam": Method(
        "Eigen-CAM",
        activation.eigen_cam,
        "Muhammad and Yeasin, IJCNN 2020",
        "The pattern that explains most of the features, whatever the class.",
        "X = A as (H · W, C);   M = s_1 · u_1,  the first left singular vector times its value",
        needs=("activations",),
        class_specific=False,
    ),
    "cam": Method(
        "CAM",
        activation.cam,
        "Zhou et al., CVPR 2016",
        "The classifier, read at every place before the average is taken.",
        "M = Σ_k w_k · A_k",
        needs=("features", "weights"),
    ),
    "lpcam": Method(
        "LPCAM",
        activation.lp_cam,
        "Chen and Sun, CVPR 2023",
        "What is like the parts of the class and unlike what surrounds it.",
        "M = mean_i cos(A, F_i) − mean_j cos(A, B_j)",
        needs=("activations", "foreground", "context"),
        fuse="product",
    ),
}

__all__ = ["METHODS", "Method", "activation", "gradient"]
