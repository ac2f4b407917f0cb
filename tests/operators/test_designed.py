"""The matrix that NPGD designs for a generator, and the operator that reads it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from reprior.errors import UserError
from reprior.machine.files import save_tensors
from reprior.operators.designed import Designed, _pairs

SHAPE = (1, 4, 5)
N = 20


def generated(numbers: range) -> Tensor:
    """Images of a linear generator whose first latents vary most."""
    G = torch.randn(N, 6, generator=torch.Generator().manual_seed(0)) * torch.tensor([6.0, 5, 4, 3, 2, 1])
    z = [torch.randn(6, generator=torch.Generator().manual_seed(number)) for number in numbers]
    return (torch.stack(z) @ G.T).view(-1, *SHAPE)


def designed(**settings) -> dict[str, Tensor]:
    return Designed.design(generated, **{"images": 40, "pairs": 120, "block": 10, **settings})


def by_hand(entering: int, images: int = 40, pairs: int = 120, block: int = 10) -> np.ndarray:
    """S of the first `entering` pairs of each block, pair by pair."""
    S = np.zeros((N, N))
    for b in range(images // block):
        x = generated(range(b * block, (b + 1) * block)).flatten(1).double().numpy()
        for i, j in _pairs(b, pairs * block // images, block).T[:entering].tolist():
            d = (x[i] - x[j]) / np.linalg.norm(x[i] - x[j])
            S += np.outer(d, d)
    return S


def operator(tmp_path, **settings) -> Designed:
    save_tensors(tmp_path / "matrix.safetensors", designed())
    given = {"measurements": 5, "matrix": str(tmp_path / "matrix.safetensors"), **settings}
    return Designed(SHAPE, torch.Generator(), **given)


@pytest.mark.parametrize(("variant", "entering"), [("paper", 30), ("released", 10)])
def test_rows_are_the_eigenvectors_of_the_largest_eigenvalues(variant, entering):
    S = by_hand(entering)
    eigenvalues, vectors = np.linalg.eigh(S)
    found = designed(variant=variant)
    np.testing.assert_allclose(found["eigenvalues"], eigenvalues[::-1], rtol=1e-5, atol=1e-4)
    expected = vectors[:, ::-1].T[:6]  # the rank of S is 6
    alike = (found["rows"][:6].numpy() * expected).sum(1)
    np.testing.assert_allclose(np.abs(alike), 1, atol=1e-5)


@pytest.mark.parametrize(("variant", "each"), [("paper", 30), ("released", 10)])
def test_the_released_variant_uses_only_as_many_pairs_of_a_block_as_it_has_images(variant, each):
    """Each pair adds 1 to the trace of S."""
    assert designed(variant=variant)["eigenvalues"].sum().item() == pytest.approx(4 * each, rel=1e-5)


def test_the_released_variant_uses_all_pairs_if_they_are_few():
    few = {variant: designed(variant=variant, pairs=20)["rows"] for variant in ("paper", "released")}
    assert few["paper"].equal(few["released"])


def test_rows_are_orthonormal_and_do_not_depend_on_the_solvers_signs(monkeypatch):
    rows = designed()["rows"]
    torch.testing.assert_close(rows @ rows.T, torch.eye(N), rtol=0, atol=1e-6)
    solver = torch.linalg.eigh
    monkeypatch.setattr(torch.linalg, "eigh", lambda S: (solver(S)[0], -solver(S)[1]))
    assert designed()["rows"].equal(rows)


def test_rows_keep_of_other_differences_what_they_keep_of_those_they_were_made_from():
    """The mean of ||A d||^2: the share of the m largest eigenvalues. Random orthonormal rows keep m/n."""
    found = designed()
    i, j = torch.randint(1000, (2, 500), generator=torch.Generator().manual_seed(2))
    x = generated(range(1000)).flatten(1)
    d = torch.nn.functional.normalize(x[i[i != j]] - x[j[i != j]])
    kept = (d @ found["rows"][:3].T).square().sum(1).mean()
    random = torch.linalg.qr(torch.randn(N, 3, generator=torch.Generator().manual_seed(1)))[0]
    assert kept.item() == pytest.approx(found["eigenvalues"][:3].sum().item() / 120, abs=0.05)
    assert kept > 3 * (d @ random).square().sum(1).mean()


def test_pairs_are_of_different_images_and_of_all():
    i, j = _pairs(0, 2000, 10)
    assert (i != j).all()
    counts = torch.zeros(10, 10).index_put_((i, j), torch.ones(2000), accumulate=True)
    assert (counts + torch.eye(10) > 0).all()  # each of 90 is drawn 22 times on average
    assert not _pairs(1, 2000, 10).equal(_pairs(0, 2000, 10))


def test_the_same_draws_make_the_same_matrix():
    assert designed()["rows"].equal(designed()["rows"])


def test_equal_images_add_nothing():
    found = Designed.design(lambda numbers: torch.ones(len(numbers), *SHAPE), images=4, pairs=8, block=2)
    assert found["eigenvalues"].equal(torch.zeros(N))
    torch.testing.assert_close(found["rows"] @ found["rows"].T, torch.eye(N))


def test_a_file_has_no_more_rows_than_the_papers_largest_m(monkeypatch):
    whole = designed()
    monkeypatch.setattr("reprior.operators.designed.MOST", 7)
    found = designed()
    assert found["rows"].equal(whole["rows"][:7])
    assert found["eigenvalues"].equal(whole["eigenvalues"][:7])


def test_matrices_of_all_m_are_nested(tmp_path):
    few, many, ratio = (
        operator(tmp_path, **s) for s in ({"measurements": 3}, {}, {"measurements": None, "ratio": 0.5})
    )
    assert many.rows[:3].equal(few.rows)
    assert ratio.measurement_shape == (10,)
    assert ratio.rows[:5].equal(many.rows)


def test_pixels_are_flattened_channel_by_channel(tmp_path):
    found = operator(tmp_path)
    x = torch.zeros(1, *SHAPE)
    x[0, 0, 2, 3] = 1
    assert found.A(x)[0].equal(found.rows[:, 2 * 5 + 3])


def test_what_the_generator_makes_is_recovered_from_as_many_measurements_as_latents(tmp_path):
    found, x = operator(tmp_path, measurements=6), generated(range(5))
    torch.testing.assert_close(found.A_dagger(found.A(x)), x, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"images": 45}, r"`images` \(45\) must be a multiple of `block` \(10\)"),
        ({"block": 1}, r"`block` \(1\), at least 2"),
        ({"pairs": 121}, r"`pairs` \(121\) must be a multiple of the number of blocks \(4\)"),
    ],
)
def test_refuses_blocks_that_do_not_divide(settings, message):
    with pytest.raises(UserError, match=message):
        designed(**settings)


def test_refuses_no_file(tmp_path):
    with pytest.raises(UserError, match="`matrix` is missing"):
        operator(tmp_path, matrix=None)


def test_refuses_more_measurements_than_rows(tmp_path):
    save_tensors(tmp_path / "few.safetensors", {"rows": torch.eye(N)[:4]})
    with pytest.raises(UserError, match=r"5 measurements, but .*few.safetensors has 4 rows"):
        operator(tmp_path, matrix=str(tmp_path / "few.safetensors"))


def test_refuses_the_matrix_of_other_images(tmp_path):
    save_tensors(tmp_path / "other.safetensors", {"rows": torch.eye(12)})
    with pytest.raises(UserError, match=r"other.safetensors is for images of 12 values, and these have 20"):
        operator(tmp_path, matrix=str(tmp_path / "other.safetensors"))


@pytest.mark.parametrize("settings", [{"measurements": None}, {"ratio": 0.5}, {"measurements": 21}])
def test_refuses_no_two_or_impossible_counts(tmp_path, settings):
    with pytest.raises(UserError, match="operator designed: .*measurements"):
        operator(tmp_path, **settings)
