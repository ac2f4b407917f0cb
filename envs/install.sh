#!/usr/bin/env bash
# Make .venv from the lock files; `make` calls this. The environment says how:
#   PYTHON     interpreter that .venv is made with (default python3; 3.11 or newer)
#   INSTALLER  uv (default, fast) or pip (slower, but follows pip's own configuration: mirrors, proxies, certificates)
#   TORCH      locked (default: the lock file's torch, which brings CUDA libraries and also runs without a GPU),
#              cpu (the same versions as CPU wheels from PyTorch's own index, not hash-checked; needs uv),
#              installed (leave alone the torch and torchvision that were put into .venv by hand)
set -euo pipefail
export PIP_DISABLE_PIP_VERSION_CHECK=1
cd "$(dirname "$0")/.."

python=${PYTHON:-python3} installer=${INSTALLER:-uv} torch=${TORCH:-locked}
lock=envs/requirements.lock
unfinished=.venv/.unfinished
again=

fail() {
    printf 'reprior: %s\n' "$1" >&2
    exit 1
}

check_settings() {
    case $installer in uv | pip) ;; *) fail "INSTALLER=$installer is unknown: use uv or pip." ;; esac
    case $torch in locked | cpu | installed) ;; *) fail "TORCH=$torch is unknown: use locked, cpu or installed." ;; esac
    if [ "$torch$installer" = cpupip ]; then
        fail "TORCH=cpu needs INSTALLER=uv. With pip, put CPU wheels of torch and torchvision into .venv yourself
(see the install page of PyTorch), then use TORCH=installed."
    fi
}

check_python() {
    command -v "$python" >/dev/null ||
        fail "PYTHON=$python was not found. Install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3"
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "$python is older than Python 3.11 (or does not start). Name a newer one: make PYTHON=/path/to/python3"
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "$python cannot make virtual environments. On Debian or Ubuntu: apt-get install python3-venv"
}

# What an interrupted install left can look complete to an installer, so it is never built upon.
make_venv() {
    if [ "$torch" = installed ]; then
        [ -x .venv/bin/python ] ||
            fail "TORCH=installed, but there is no .venv: make it, and put torch and torchvision into it, first."
        [ ! -e "$unfinished" ] || again=--force-reinstall
    elif [ -e "$unfinished" ] || ! .venv/bin/python -c '' 2>/dev/null; then
        check_python
        rm -rf .venv
        mkdir .venv
        touch "$unfinished"
        "$python" -m venv .venv
    fi
    touch "$unfinished"
}

# Compiled as they are installed, as pip does: where Python may not write bytecode, each job would compile torch anew.
add() {
    if [ "$installer" = uv ]; then
        .venv/bin/uv pip install --compile-bytecode --python .venv/bin/python "$@" ||
            fail "uv could not install the packages. It does not read pip's configuration: where a mirror, a proxy or
certificates are set up for pip, use INSTALLER=pip."
    else
        .venv/bin/python -m pip install --use-pep517 "$@"
    fi
}

# A hash for everything, and nothing that the lock does not name.
add_locked() {
    add ${again:+"$again"} --require-hashes --no-deps --no-build-isolation -r "$1"
}

# The lock's entries, without torch and what only its CUDA wheels need.
lock_without_torch() {
    awk '/^[^[:space:]]/ { skip = /^(torch|torchvision|triton|nvidia-[a-z0-9-]+|cuda-[a-z0-9-]+)==/ } !skip' "$lock"
}

locked_version() {
    sed -nE "s/^$1==([^ ]+).*/\1/p" "$lock"
}

add_cpu_torch() {
    .venv/bin/uv pip install --compile-bytecode --python .venv/bin/python --torch-backend cpu --no-deps \
        "torch==$(locked_version torch)" "torchvision==$(locked_version torchvision)" ||
        fail "the CPU wheels of torch could not be installed. Put torch and torchvision into .venv yourself
(see the install page of PyTorch), then use TORCH=installed."
}

add_around_torch() {
    lock_without_torch >.venv/without-torch.lock
    add_locked .venv/without-torch.lock
    .venv/bin/python -c 'import torch, torchvision' ||
        fail "TORCH=$torch: torch and torchvision in .venv are missing or do not belong together."
}

check_settings
make_venv
.venv/bin/python -m pip install --quiet --require-hashes --no-deps -r envs/installer.lock
case $torch in
locked) add_locked "$lock" ;;
cpu) add_cpu_torch && add_around_torch ;;
installed) add_around_torch ;;
esac
add --no-deps --no-build-isolation --editable .
.venv/bin/python -m pip check
rm "$unfinished"
echo "$torch" >.venv/.installed # the Makefile reads it back, so that the next install keeps the choice
