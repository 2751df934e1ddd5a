"""Lists the licences of the installed packages and fails on one that may not be shipped: `make licenses`."""

import json
import subprocess
import sys

# Permissive, or copyleft that ends at the library's own files.
ALLOWED = (
    "MIT", "BSD", "Apache", "ISC", "Python Software Foundation", "PSF", "MPL", "Mozilla", "Unlicense", "0BSD", "Zlib",
    "HPND", "LGPL", "GNU Lesser", "GNU Library or Lesser", "CC0", "The PostgreSQL License",
)  # fmt: skip
# Read in the package itself, where its metadata says nothing or something unclear.
READ = {
    "opaa": "Apache-2.0",
}


def main() -> int:
    command = [sys.executable, "-m", "piplicenses", "--format=json", "--from=mixed", "--with-system"]
    packages = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    refused = []
    for package in packages:
        licence = READ.get(package["Name"], package["License"])
        allowed = any(name.lower() in licence.lower() for name in ALLOWED)
        print(
            f"{'  ' if allowed else '! '}{package['Name']:32} {package['Version']:14} {' '.join(licence.split())[:70]}"
        )
        if not allowed:
            refused.append(package["Name"])
    print(f"{len(packages)} packages, {len(refused)} not allowed: {', '.join(refused) or 'none'}")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
