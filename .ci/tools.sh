# Checks the tools that building optsde needs, says what to install where one is missing, and prints a Python >= 3.11.
missing() { echo "optsde: $1" >&2; exit 1; }

command -v cargo >/dev/null 2>&1 ||
    missing "cargo was not found: install Rust 1.89 or newer from https://rustup.rs, then open a new shell."
rust=$(rustc --version 2>/dev/null | sed -n 's/^rustc \([0-9]*\.[0-9]*\).*/\1/p')
[ -n "$rust" ] || missing "rustc does not run: install Rust 1.89 or newer from https://rustup.rs."
if [ "${rust%%.*}" -eq 1 ] && [ "${rust#*.}" -lt 89 ]; then
    missing "Rust $rust is too old: install 1.89 or newer (with rustup: rustup update stable)."
fi
command -v cc >/dev/null 2>&1 || command -v gcc >/dev/null 2>&1 || command -v clang >/dev/null 2>&1 ||
    missing "no C linker was found: install gcc or clang (on Debian and Ubuntu: apt install build-essential)."

for python in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
    path=$(command -v "$python" 2>/dev/null) || continue
    "$path" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
    "$path" -c 'import ensurepip, venv' 2>/dev/null ||
        missing "$path cannot make virtual environments: install its venv module (on Debian and Ubuntu: apt install python3-venv)."
    echo "$path"
    exit 0
done
missing "Python 3.11 or newer was not found${PYTHON:+ as PYTHON=$PYTHON}: install it from https://www.python.org or with your system's package manager."
