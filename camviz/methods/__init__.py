"""The methods: pure functions of tensors, and the table that menus, README and tests read.

A method is given tensors, or a function that scores them, never a network. To add one: write the
function, add a row here, and write its slow twin in the tests.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from camviz.methods import activation, attention, gradient, perturbation
from camviz.methods.perturbation import CHANNELS, GROUPS


@dataclass(frozen=True)
class Scoring:
    """Which class scores a method reads, and how many further passes of the network they take.

    `of`: what the scores are. `whole`: they are of changed pictures, by passes of the whole
    network; else of changed maps, by passes of what follows the stage. `passes`: how many, from the
    channels and cells of the stage and the budget. `budget`: the option that bounds them, and its
    default.
    """

    of: Literal["probability", "logit"]
    whole: bool
    passes: Callable[[int, int, int], int]
    budget: tuple[str, int] | None = None


@dataclass(frozen=True)
class Method:
    """A row of the table: what a method is called, computes and needs.

    `summary` and `formula` are what the page shows of it: one sentence, and the formula typeset,
    in the symbols of the function's docstring. `needs` names the function's arguments:
    "activations" and "gradients" of a stage, or "features" and "weights" of the head, which exist
    for the last map only, or "foreground" and "context", a stage's prototypes of the class
    (`camviz.prototypes`), or "score_fn", which scores changed maps or changes of "image", the
    prepared picture, or what `camviz.methods.attention` reads of a transformer's blocks, whose
    result is of tokens. `smooth`: the checkerboard that strided layers leave in a gradient may
    be smoothed out of this one's. Methods that pool the gradient average it away; HiRes-CAM shows
    it, but its sum is the score. `fuse`: how the maps of all stages become one unless another way
    is requested (`camviz.maps.fusion.FUSIONS`), where that follows from the method; None: from the
    network (`camviz.engine.families`). `cost`: which passes of the network it takes, in words.
    `scoring`: what it scores, if it reads class scores of changed maps or pictures; then its
    function gives the maps of all classes, (classes, H, W), of one picture.
    `linear`: in the gradient, so that the map of a difference of two scores is the difference of
    their maps, before any ReLU.
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
    fuse: str | None = None
    cost: str = "one forward and one backward pass"
    scoring: Scoring | None = None
    linear: bool = False

    @property
    def uses_gradients(self) -> bool:
        """Whether it reads a gradient of the class score by what a trace recorded."""
        return not self.uses_relevance and any(name.endswith("gradients") for name in self.needs)

    @property
    def uses_attention(self) -> bool:
        """Whether it explains a transformer by its blocks, and exists for those alone."""
        return "attention" in self.needs or self.uses_relevance

    @property
    def uses_relevance(self) -> bool:
        """Whether it needs a backward pass by the rules of relevance propagation."""
        return "token_gradients" in self.needs

    @property
    def truncates(self) -> bool:
        """Whether its map is arithmetic on the gradient of a stage, which can be truncated."""
        return "gradients" in self.needs and self.scoring is None

    @property
    def explains_any_score(self) -> bool:
        """Whether it differentiates what it explains, be it a logit, another score or a margin."""
        return self.uses_relevance or (self.uses_gradients and self.scoring is None)

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
        linear=True,
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
        linear=True,
    ),
    "hires_cam": Method(
        "HiRes-CAM",
        gradient.hires_cam,
        "Draelos and Carin, 2020",
        "What each place adds to the score, less what it takes away.",
        "M = Σ_k g_k · A_k",
        linear=True,
    ),
    "eigen_cam": Method(
        "Eigen-CAM",
        activation.eigen_cam,
        "Muhammad and Yeasin, IJCNN 2020",
        "The pattern that explains most of the features, whatever the class.",
        "X = A as (H · W, C);   M = s_1 · u_1,  the first left singular vector times its value",
        needs=("activations",),
        class_specific=False,
        cost="one forward pass",
    ),
    "cam": Method(
        "CAM",
        activation.cam,
        "Zhou et al., CVPR 2016",
        "The classifier, read at every place before the average is taken.",
        "M = Σ_k w_k · A_k",
        needs=("features", "weights"),
        cost="one forward pass, and the classifier twice",
    ),
    "lpcam": Method(
        "LPCAM",
        activation.lp_cam,
        "Chen and Sun, CVPR 2023",
        "What is like the parts of the class and unlike what surrounds it.",
        "M = mean_i cos(A, F_i) − mean_j cos(A, B_j)",
        needs=("activations", "foreground", "context"),
        fuse="product",
        cost="one forward pass; for prototypes of the picture itself a few more, once",
    ),
    "recipro_cam": Method(
        "Recipro-CAM",
        perturbation.recipro_cam,
        "Byun and Lee, 2022",
        "What the classifier still says when it is shown the surroundings of one place alone.",
        "M = p_c(f(A · G_ij)) at cell (i, j),  G_ij = (1 2 1; 2 4 2; 1 2 1)/4 around it, else 0",
        needs=("activations", "score_fn"),
        signed=False,
        cost="one forward pass, and one of what follows the layer for each cell: 49 of 7 × 7",
        scoring=Scoring("probability", False, lambda channels, cells, _: cells),
    ),
    "ablation_cam": Method(
        "Ablation-CAM",
        perturbation.ablation_cam,
        "Desai and Ramaswamy, WACV 2020",
        "A channel counts as much as the score falls without it.",
        "w_k = y − y_k,  y_k: the score with A_k = 0;   M = Σ_k w_k · A_k",
        needs=("activations", "score_fn"),
        cost="one forward pass, and one of what follows the layer for each channel: 2,049 of 2,048",
        scoring=Scoring("logit", False, lambda channels, cells, _: channels + 1),
    ),
    "score_cam": Method(
        "Score-CAM",
        perturbation.score_cam,
        "Wang et al., CVPRW 2020",
        "A channel counts as much as the class is seen through it.",
        "w_k = p_c(x · H_k),  H_k = A_k on the picture, from 0 to 1;   M = Σ_k w_k · A_k",
        needs=("activations", "image", "score_fn"),
        cost=f"one forward pass, and one for each of {CHANNELS} channels",
        scoring=Scoring(
            "probability",
            True,
            lambda channels, cells, budget: min(channels, budget),
            ("channels", CHANNELS),
        ),
    ),
    "group_cam": Method(
        "Group-CAM",
        perturbation.group_cam,
        "Zhang et al., 2021",
        "Groups of channels count as much as they reveal of the class in a blurred picture.",
        "w_n = ReLU(p_c(x · H_n + b · (1 − H_n)) − p_c(b));   M = Σ_n w_n · H_n",
        needs=("activations", "gradients", "image", "score_fn"),
        signed=False,
        cost=f"one forward and one backward pass, and {GROUPS + 1} forward passes",
        scoring=Scoring(
            "probability",
            True,
            lambda channels, cells, budget: min(channels, budget) + 1,
            ("groups", GROUPS),
        ),
    ),
    "gae": Method(
        "GAE",
        attention.gae,
        "Chefer et al., ICCV 2021",
        "How much of each place reaches the answer through attention that raises the score.",
        "R ← R + mean_h ReLU(g_b · α_b) · R at each block b,  R = I at first;   M = mean_r R_r",
        needs=("attention", "attention_gradients", "readers"),
        signed=False,
        fuse="deepest",
    ),
    "daam": Method(
        "DAAM",
        attention.daam,
        "Liao et al., Pattern Recognition 2025",
        "What the class token takes from each place, by what raises the score, block after block.",
        "M = Σ_b mean_r ReLU(Σ_h α_b · Σ_d ReLU(c_b) · V_b)",
        needs=("attention", "values", "output_gradients", "readers"),
        signed=False,
        fuse="deepest",
    ),
    "attn_lrp": Method(
        "AttnLRP",
        attention.attn_lrp,
        "Achtibat et al., ICML 2024",
        "What each place adds to the score, shared out from the answer back to the picture.",
        "M = Σ_d x_d · g_d",
        needs=("tokens", "token_gradients"),
        fuse="shallowest",
        cost="one forward pass, and one forward and one backward pass by the rules of relevance",
    ),
    "rollout": Method(
        "Attention rollout",
        attention.rollout,
        "Abnar and Zuidema, ACL 2020",
        "How much of each place attention carries to the answer, whatever the class.",
        "R ← (mean_h α_b + I) / 2 · R at each block b,  R = I at first;   M = mean_r R_r",
        needs=("attention", "readers"),
        signed=False,
        class_specific=False,
        fuse="deepest",
        cost="one forward pass",
    ),
}

__all__ = ["METHODS", "Method", "Scoring", "activation", "attention", "gradient", "perturbation"]
