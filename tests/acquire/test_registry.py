"""The registry is well-formed. A malformed one gives a message."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from reprior.acquire.registry import known_source, read_registry, sources
from reprior.errors import UserError

NEEDED = {
    "celeba/img_align_celeba.zip",
    "celeba/celeba_subset.tar",
    "celeba/csgm_celebAtest.zip",
    "celebahq/CelebAMask-HQ.zip",
    "birds/CUB_200_2011.tgz",
    "birds/cub2010_images.tgz",
    "birds/cub2010_lists.tgz",
    "birds/cub2010_annotations.tgz",
    "mnist/train-images-idx3-ubyte.gz",
    "mnist/t10k-images-idx3-ubyte.gz",
    "npgd/mnisttest.zip",
    "npgd/celebAtest.zip",
    "lsun/church_outdoor_train_lmdb.zip",
    "lsun/church_outdoor_val_lmdb.zip",
    "classifiers/resnet50_l2_eps3.ckpt",
    "classifiers/cifar_small_36px.pth",
    "classifiers/mnist.pth",
    "lpips/alexnet.pth",
    "lpips/vgg16.pth",
    "lpips/squeezenet1_1.pth",
    "began/netG_200000.pth",
    "began/gen_97000.pth",
    "began/gen_208000.pth",
    "dcgan/dcgan_celeba64_mmagic.pth",
    "pggan/100_celeb_hq_network-snapshot-010403.pth",
    "pggan/karras2018iclr-celebahq-1024x1024.pkl",
    "stylegan2/ffhq.pkl",
    "stylegan2/stylegan2-ffhq-config-f.pt",
    "stylegan2/stylegan2-ffhq-config-f-official_20210327_171224-bce9310c.pth",
    "stylegan2/550000.pt",
}
GOOD = {"file": "a.zip", "size": 3, "sha256": "0" * 64}


def test_every_source_is_there() -> None:
    assert set(sources()) >= NEEDED
    assert sum(name.startswith("birds/glowip64/") and name.endswith(".jpg") for name in sources()) == 12


def test_a_file_is_not_taken_for_that_of_another_source() -> None:
    hashes = [v.sha256 or v.md5 for source in sources().values() for v in source.accepts if v.hashed]
    assert len(hashes) == len(set(hashes))
    for name, source in sources().items():
        beside = {(Path(name).parent / v.file).as_posix() for v in source.accepts} - {name}
        assert not beside & set(sources())


def test_facts_that_are_known_for_sure() -> None:
    zipped = sources()["celeba/img_align_celeba.zip"].accepts[0]
    assert (zipped.size, zipped.md5) == (1_443_490_838, "00d2c5bc6d35e252742224ab0c1e8fcb")
    assert sources()["celeba/celeba_subset.tar"].accepts[0].addresses == ()
    assert "lecun" in sources()["mnist/train-images-idx3-ubyte.gz"].accepts[0].urls[-1]
    for name in ("alexnet", "vgg16", "squeezenet1_1"):
        variant = sources()[f"lpips/{name}.pth"].accepts[0]
        assert variant.sha256 and variant.file.endswith(f"-{variant.sha256[:8]}.pth")


def test_planning_needs_neither_torch_nor_requests() -> None:
    code = (
        "import sys, reprior.acquire.registry as r; r.sources(); print({'torch', 'requests', 'gdown'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_an_unknown_name_is_told_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"'celeba/align\.zip'.*did you mean 'celeba/img_align_celeba\.zip'"):
        known_source("celeba/align.zip")


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"licence": "MIT", "accepts": []}, "accepts"),
        ({"accepts": [GOOD]}, "licence"),
        ({"licence": "MIT", "accepts": [GOOD], "acepts": []}, "acepts"),
        ({"licence": "MIT", "accepts": [GOOD, GOOD]}, "two variants have the same file name"),
        ({"licence": "MIT", "accepts": [{**GOOD, "size": "3"}]}, "size"),
        ({"licence": "MIT", "accepts": [{**GOOD, "sha256": "0" * 63}]}, "sha256"),
        ({"licence": "MIT", "accepts": [{**GOOD, "file": "../a.zip"}]}, "file"),
        ({"licence": "MIT", "accepts": [{**GOOD, "urls": ["ftp://host/a.zip"]}]}, "urls"),
        ({"licence": "MIT", "accepts": [{**GOOD, "gdrive": "https://drive"}]}, "gdrive"),
        ({"licence": "MIT", "accepts": [{"file": "a.zip", "size": 3}]}, "needs an address"),
    ],
)
def test_a_malformed_entry_is_told(tmp_path: Path, entry: dict, told: str) -> None:
    import yaml

    path = tmp_path / "sources.yaml"
    path.write_text(yaml.safe_dump({"toys/toy.zip": entry}))
    with pytest.raises(UserError, match=told) as caught:
        read_registry(path)
    assert str(path) in str(caught.value) and "toys/toy.zip" in str(caught.value)


@pytest.mark.parametrize("name", ["toy.zip", "../toy.zip", "/toys/toy.zip", "toys/../../toy.zip", "toys/"])
def test_a_name_cannot_lead_out_of_the_folder(tmp_path: Path, name: str) -> None:
    import yaml

    path = tmp_path / "sources.yaml"
    path.write_text(yaml.safe_dump({name: {"licence": "MIT", "accepts": [GOOD]}}))
    with pytest.raises(UserError, match="sources"):
        read_registry(path)


def test_the_documentation_lists_every_source_with_its_size(root: Path) -> None:
    rows = (root / "docs" / "data.md").read_text().splitlines()
    birds = {name for name in sources() if name.startswith("birds/glowip64/")}
    for name in set(sources()) - birds:
        row = next(row for row in rows if row.startswith(f"| `{name}` |"))
        size = sources()[name].accepts[0].size
        assert f"| {size:,} |" in row if size else "| not published" in row
    assert f"{sum(sources()[name].accepts[0].size for name in birds):,} together" in "\n".join(rows)
