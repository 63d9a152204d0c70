"""The methods: pure functions of tensors, and the table that every menu and test reads.

A method sees tensors, never a network. To add one: write the function, add a row here, and
write its slow twin in the tests.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from camviz.methods import activation, gradient


@dataclass(frozen=True)
class Method:
    """A row of the table: what a method is called, computes and needs.

    `needs` names the function's arguments: "activations" and "gradients" of a stage, or
    "features" and "weights" of the head, which exist for the last map only, or "foreground" and
    "context", a stage's prototypes of the class (`camviz.prototypes`). `smooth`: the
    checkerboard that strided layers leave in a gradient may be smoothed out of this one's.
    Methods that pool the gradient average it away; HiRes-CAM shows it, but its sum is the score.
    """

    label: str
    function: Callable[..., Tensor]
    paper: str
    needs: tuple[str, ...] = ("activations", "gradients")
    smooth: bool = False
    signed: bool = True
    class_specific: bool = True

    @property
    def uses_gradients(self) -> bool:
        """Whether it reads the gradient of the class score."""
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
        smooth=True,
    ),
    "layer_cam_elementwise": Method(
        "LayerCAM, element-wise",
        gradient.layer_cam_elementwise,
        "GradCAMElementWise, pytorch-grad-cam",
        smooth=True,
        signed=False,
    ),
    "grad_cam": Method("Grad-CAM", gradient.grad_cam, "Selvaraju et al., ICCV 2017"),
    "grad_cam_pp": Method("Grad-CAM++", gradient.grad_cam_pp, "Chattopadhay et al., WACV 2018"),
    "xgrad_cam": Method("XGrad-CAM", gradient.xgrad_cam, "Fu et al., BMVC 2020"),
    "hires_cam": Method("HiRes-CAM", gradient.hires_cam, "Draelos and Carin, 2020"),
    "eigen_cam": Method(
        "Eigen-CAM",
        activation.eigen_cam,
        "Muhammad and Yeasin, IJCNN 2020",
        needs=("activations",),
        class_specific=False,
    ),
    "cam": Method("CAM", activation.cam, "Zhou et al., CVPR 2016", needs=("features", "weights")),
    "lpcam": Method(
        "LPCAM",
        activation.lp_cam,
        "Chen and Sun, CVPR 2023",
        needs=("activations", "foreground", "context"),
    ),
}

__all__ = ["METHODS", "Method", "activation", "gradient"]
