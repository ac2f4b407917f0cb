"""BM3D, the baseline of denoising."""

from __future__ import annotations

from functools import partial
from typing import Literal

import torch

from reprior.errors import UserError
from reprior.methods.base import Problem, Reconstruction
from reprior.operators.identity import Identity

# An extra and not a requirement: its licence allows non-commercial use only, and wants its authors named with results.
PACKAGE = "bm3d"


def bm3d(problem: Problem, *, profile: Literal["np", "vn"] = "np") -> Reconstruction:
    """x = BM3D(y, sigma) for y = x + e, with the known deviation sigma of the noise e; each image by itself.

    Dabov, Foi, Katkovnik, Egiazarian: Image denoising by sparse 3-D transform-domain collaborative filtering, IEEE
    Transactions on Image Processing 16, 2007. For colour: Color image denoising via sparse 3D collaborative filtering
    with grouping constraint in luminance-chrominance space, ICIP 2007. The baseline of ILO's denoising (Daras et al.
    2021).

    ILO leaves open: the implementation (ours: the authors' package, whose thresholds are those of Mäkinen, Azzari, Foi
    2020); colour (ours: its function for colour, which matches blocks by luminance); `profile` (ours: the package's
    default; `vn` is its profile for much noise); whether sigma allows for clipping (ours: no, it is that of e).
    """
    if not isinstance(problem.operator, Identity) or not problem.noise:
        raise UserError(
            "method bm3d only removes noise of known deviation; give the case `noise` and"
            " `operator: {name: identity}`, or remove the method from it"
        )
    import bm3d as package  # here, so that this module can be read where the package is not installed

    settings = {"np": package.BM3DProfile, "vn": package.BM3DProfileVN}[profile]()
    settings.num_threads = 1  # with more, two runs differ slightly
    colours = problem.y.shape[1]
    denoise = package.bm3d_rgb if colours == 3 else package.bm3d
    denoised = partial(denoise, sigma_psd=problem.noise, profile=settings)
    pictures = problem.y.permute(0, 2, 3, 1).double().cpu().numpy()  # [N, H, W, C]
    found = torch.stack([torch.from_numpy(denoised(z if colours == 3 else z[..., 0])) for z in pictures])
    images = found.reshape(pictures.shape).permute(0, 3, 1, 2)
    return Reconstruction(images.to(problem.y), status=("ok",) * len(problem))
