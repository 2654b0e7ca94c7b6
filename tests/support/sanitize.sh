#!/usr/bin/env bash
# What only an instrumented build can see: data races (thread sanitizer, with the standard library built for it), and undefined
# behaviour in the core (Miri, which needs a nightly toolchain). Takes about a quarter of an hour.
#
#   tests/support/sanitize.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
host=$(rustc -vV | sed -n 's/^host: //p')
rustup component add rust-src >/dev/null 2>&1
# The standard library has to be built with the sanitizer, too, which needs what stable does not offer by itself.
sanitized() { RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=thread cargo "$1" -Zbuild-std --target "$host" --target-dir target/tsan "${@:2}"; }

planted=$(mktemp -d)
trap 'rm -rf "$planted"' EXIT
mkdir "$planted/src"
cat >"$planted/Cargo.toml" <<'TOML'
[package]
name = "planted"
version = "0.0.0"
edition = "2024"
[workspace]
TOML
cat >"$planted/src/main.rs" <<'RUST'
static mut COUNT: u64 = 0;
fn main() {
    let threads = [1, 2].map(|step| std::thread::spawn(move || (0..1000).for_each(|_| unsafe { COUNT += step })));
    threads.into_iter().for_each(|it| it.join().unwrap());
}
RUST
if sanitized run --quiet --manifest-path "$planted/Cargo.toml" 2>"$planted/said"; then
  echo "a planted data race was not found"
  exit 1
fi
grep -q "WARNING: ThreadSanitizer: data race" "$planted/said" || { cat "$planted/said"; exit 1; }
echo "planted data race found"
sanitized test --locked --quiet -p lowlight-tests --test all -- concurrency recorder:: tickets
echo "no data race"

rustup toolchain install nightly --profile minimal --component miri,rust-src >/dev/null 2>&1
# Trees of thousands of entries take hours there.
cargo +nightly miri test --locked --quiet -p lowlight-core --lib --target-dir target/miri -- --skip tree
