#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Installs what this project needs and is missing, on Debian and Ubuntu; elsewhere it says what to install.
# When nothing is missing it does nothing, quickly and silently.
#
#   scripts/setup.sh [build] [demo] [test]     default: test
#
#   build   Go, git, make
#   demo    build + podman and what the lab is made with (Debian 12)
#   test    demo + the linter of shell scripts, what -race needs, and the browser for the page's tests
set -euo pipefail

readonly go_minimum=1.21 # from here on Go downloads the version that go.mod asks for by itself

say() { printf 'setup: %s\n' "$*" >&2; }

die() {
  say "$*"
  exit 1
}

have() { command -v "$1" >/dev/null 2>&1 || [[ -x /usr/sbin/$1 ]]; }

# version_at_least HAVE WANTED
version_at_least() { [[ $(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1) == "$2" ]]; }

# "command:package" for each group; the package names are Debian's.
readonly build_needs=(git:git make:make)
readonly demo_needs=(
  podman:podman runc:runc conmon:conmon newuidmap:uidmap
  docker-registry:docker-registry mmdebstrap:mmdebstrap
  dpkg-deb:dpkg modinfo:kmod modprobe:kmod update-ca-certificates:ca-certificates
)
readonly test_needs=(shellcheck:shellcheck gcc:gcc skopeo:skopeo busybox:busybox-static chromium:chromium rpmkeys:rpm)

# needs GROUP... prints the pairs of all groups.
needs() {
  local group
  printf '%s\n' "${build_needs[@]}"
  for group in "$@"; do
    case $group in
      build) ;;
      demo) printf '%s\n' "${demo_needs[@]}" ;;
      test) printf '%s\n' "${demo_needs[@]}" "${test_needs[@]}" ;;
      *) die "unknown group '$group': build, demo or test" ;;
    esac
  done
}

go_is_fine() {
  local version
  have go || return 1
  version=$(GOTOOLCHAIN=local go env GOVERSION)
  version_at_least "${version#go}" "$go_minimum"
}

# missing_packages GROUP... prints the Debian packages of the commands that are not there.
missing_packages() {
  local pair
  while read -r pair; do
    have "${pair%%:*}" || printf '%s\n' "${pair#*:}"
  done < <(needs "$@") | sort -u
}

# as_root COMMAND...
as_root() {
  if [[ $(id -u) == 0 ]]; then
    "$@"
  elif have sudo; then
    sudo -- "$@"
  else
    die "needs root: run this as root, then again: $*"
  fi
}

# Debian's docker-registry starts a service on port 5000. The lab runs its own, on a free port, so the
# service is masked before the package comes; where systemd does not run, a policy says no for the moment.
install_without_registry_service() {
  local policy=/usr/sbin/policy-rc.d made=false status=0
  if have systemctl && ! systemctl cat docker-registry.service >/dev/null 2>&1; then
    as_root systemctl mask --quiet docker-registry.service
  fi
  if [[ ! -e $policy ]]; then
    made=true
    as_root sh -c "printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy"
  fi
  install_packages "$@" || status=$?
  if [[ $made == true ]]; then
    as_root rm -f "$policy"
  fi
  return "$status"
}

# A list of packages that is old names versions which the archive no longer has.
install_packages() {
  apt_install "$@" && return
  say "trying again with fresh package lists"
  as_root apt-get update -q
  apt_install "$@"
}

apt_install() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends -- "$@"
}

go_candidate() {
  local candidate
  candidate=$(apt-cache policy golang-go | sed -n 's/^ *Candidate: *//p')
  candidate=${candidate#*:} # Debian's epoch
  version_at_least "${candidate:-0}" "$go_minimum"
}

explain_go() {
  say "Go $go_minimum or newer is missing, and this system has no package of it."
  say "On Debian 12 bookworm-backports has one; or install it from https://go.dev/dl/ (see https://go.dev/doc/install), then run this again."
}

install_debian() {
  local packages=("$@") go_missing=false
  if ! go_is_fine; then
    go_missing=true
  fi
  if ((${#packages[@]} == 0)) && [[ $go_missing == false ]]; then
    return
  fi
  # A fresh system has no list of packages, or knows some of them only as names.
  if ! apt-get install --simulate -qq --no-install-recommends -- "${packages[@]:-golang-go}" >/dev/null 2>&1; then
    as_root apt-get update -q
  fi
  if [[ $go_missing == true ]]; then
    if ! go_candidate; then
      explain_go
      exit 1
    fi
    packages+=(golang-go)
  fi
  say "installing: ${packages[*]}"
  if [[ " ${packages[*]} " == *' docker-registry '* ]]; then
    install_without_registry_service "${packages[@]}"
  else
    install_packages "${packages[@]}"
  fi
}

# explain FAMILY PACKAGE... says what to do where this script does not install.
explain() {
  local family=$1
  shift
  say "missing here (by their Debian names): $*"
  case $family in
    fedora)
      say "install them with:  sudo dnf install git make golang podman runc skopeo ShellCheck gcc kmod dpkg chromium"
      say "docker-registry and mmdebstrap have no package there: for the demo and the end-to-end tests use a Debian 12 machine or VM"
      ;;
    darwin)
      say "install them with:  brew install git make go podman skopeo shellcheck && podman machine init --now"
      say "the demo and the end-to-end tests need Linux: use a Debian 12 machine or VM; 'make build' and 'make test-short' work here"
      ;;
    *)
      say "install git, make, Go, podman, skopeo, shellcheck and chromium with this system's packager"
      say "the demo and the end-to-end tests need Debian 12: use such a machine or VM"
      ;;
  esac
}

family() {
  if [[ $(uname -s) == Darwin ]]; then
    echo darwin
  elif have apt-get; then
    echo debian
  elif have dnf || have yum; then
    echo fedora
  else
    echo other
  fi
}

# The lab compiles kernels' modules with Debian's compiler and runs on the architecture they are for.
check_machine() {
  local group
  for group in "$@"; do
    if [[ $group != build && $(uname -s)/$(uname -m) != Linux/x86_64 ]]; then
      die "the demo and the end-to-end tests need Linux on x86_64, not $(uname -s) on $(uname -m)"
    fi
  done
}

# lab_kernel REGEXP prints the packages of such kernels' headers that apt knows.
lab_kernel() { apt-cache pkgnames linux-headers-6 | grep -E -- "^linux-headers-$1-amd64\$" || true; }

# The lab is made of Debian 12's kernels. A fresh container image has never had a list of packages, and one
# that was made a while ago has a list from before the 6.12 kernels.
check_kernels() {
  local group codename
  codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
  for group in "$@"; do
    if [[ $group == build ]]; then
      continue
    fi
    if [[ $codename != bookworm ]]; then
      die "the demo and the end-to-end tests are made of Debian 12 (bookworm) packages: run them on such a machine, VM or container; 'make build' and 'make test-short' work here"
    fi
    if [[ -z $(lab_kernel '6\.1\.0-[0-9]+') || -z $(lab_kernel '6\.12\.[0-9]+\+deb12') ]]; then
      as_root apt-get update -q
    fi
    return
  done
}

main() {
  local groups=("$@") missing=() kind
  if ((${#groups[@]} == 0)); then
    groups=(test)
  fi
  needs "${groups[@]}" >/dev/null # refuses unknown groups before anything happens
  kind=$(family)
  mapfile -t missing < <(missing_packages "${groups[@]}")
  if [[ $kind == debian ]]; then
    check_machine "${groups[@]}"
    install_debian "${missing[@]}"
    check_kernels "${groups[@]}"
  elif ((${#missing[@]} > 0)) || ! go_is_fine; then
    go_is_fine || missing+=(golang-go)
    explain "$kind" "${missing[@]}"
    exit 1
  fi
}

main "$@"
