#!/bin/sh
# Installs or upgrades the service from this bundle, without internet: ./install.sh [FOLDER]
# FOLDER is /opt/matching-service if it is not given. PYTHON names the Python to use.
set -eu
bundle=$(cd "$(dirname "$0")" && pwd)
target=${1:-/opt/matching-service}
needed=$(cat "$bundle/PYTHON")
python=${PYTHON:-python$needed}

found=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || found=none
if [ "$found" != "$needed" ]; then
    echo "错误：本安装包需要 Python $needed（$python 为 $found）；请用 PYTHON=/路径/python$needed ./install.sh 指定。" >&2
    echo "Error: this bundle needs Python $needed, but $python is $found; name one: PYTHON=/path/to/python$needed ./install.sh" >&2
    exit 1
fi
"$python" -m venv "$target" || {
    echo "错误：无法创建虚拟环境 $target；Debian、Ubuntu 需安装 python$needed-venv。" >&2
    echo "Error: the virtual environment $target was not made; Debian and Ubuntu need the package python$needed-venv." >&2
    exit 1
}
"$target/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --isolated \
    --no-index --no-deps --only-binary :all: --find-links "$bundle/wheels" --require-hashes -r "$bundle/requirements.txt"
"$target/bin/python" -m pip check --disable-pip-version-check
"$target/bin/matching-service" --version
echo "已安装到 $target；下一步见 operations.md。Installed in $target; operations.md says how to go on."
