#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Compiles the Neuron driver for one kernel. This is all that happens in the
# Driver Toolkit container, which has no network and no privileges.
#
#   usage: build-module.sh DRIVER_VERSION KERNEL JOBS
#
#   DRIVER_VERSION   2.24.7.0, for the log
#   KERNEL           what `uname -r` prints on the node
#   JOBS             how many compilers may run at once
#
#   /input/source    the driver's source, already patched for KERNEL (read-only)
#   /output          gets opt/lib/modules/KERNEL/neuron.ko and depmod's files
#
# By hand: podman run --rm --network=none -v SOURCE:/input/source:ro -v OUTPUT:/output \
#            -v ./build-module.sh:/build-module.sh:ro DTK_IMAGE sh /build-module.sh 2.24.7.0 KERNEL 4
#
# Exit status: 0 done, 3 the toolkit has no headers for KERNEL, 4 the toolkit
# lacks a program, 64 wrong arguments, anything else: the failed program's.

set -eu
umask 022
exec 2>&1 # one stream, so that messages stay in order

fail() { # STATUS MESSAGE
    echo "build-module.sh: error: $2"
    exit "$1"
}

[ "$#" -eq 3 ] || fail 64 "want DRIVER_VERSION KERNEL JOBS, got $# arguments"
driver=$1 kernel=$2 jobs=$3

# The same source makes the same module, whoever compiles it and when. The place
# it is compiled in is always the same, too, because it shows up in the module.
export LC_ALL=C
export KBUILD_BUILD_TIMESTAMP='1970-01-01 00:00:00 UTC'
export KBUILD_BUILD_USER=neuron-kmod
export KBUILD_BUILD_HOST=neuron-kmod
work=/tmp/neuron-kmod

PATH=$PATH:/usr/sbin:/sbin
for program in make strip depmod modinfo; do
    command -v "$program" >/dev/null || fail 4 "the Driver Toolkit image has no $program"
done

headers=
for folder in "/lib/modules/$kernel/build" "/usr/src/kernels/$kernel"; do
    if [ -e "$folder/Makefile" ]; then
        headers=$folder
        break
    fi
done
if [ -z "$headers" ]; then
    echo "kernels in this image:" /lib/modules/*
    fail 3 "the Driver Toolkit image has no headers for kernel $kernel"
fi

echo "== compiling neuron $driver for $kernel, $jobs at once"
mkdir "$work"
cp -R /input/source "$work/source"
chmod -R u+w "$work/source"
make -C "$headers" M="$work/source" -j "$jobs" modules

echo "== installing"
modules=/output/opt/lib/modules/$kernel
mkdir -p "$modules"
cp "$work/source/neuron.ko" "$modules/neuron.ko"
# Debugging information is nine tenths of the file, and the node has no use for it.
strip --strip-debug "$modules/neuron.ko"

# If the driver needs modules of the kernel itself, KMM expects them behind this
# link: the node's /lib/modules is mounted where the image is unpacked.
# https://docs.redhat.com/en/documentation/openshift_container_platform/4.17/html/specialized_hardware_and_driver_enablement/kmm-symbolic-links-for-in-tree-dependencies_kernel-module-management-operator
if [ -n "$(modinfo -F depends "$modules/neuron.ko")" ]; then
    ln -s "/lib/modules/$kernel" "$modules/host"
fi
# Warnings about modules.order and modules.builtin are true and harmless: these
# files list the kernel's own modules, which are not in this folder.
depmod -b /output/opt "$kernel"

modinfo "$modules/neuron.ko"

echo "== processor time, user and system, of this shell and of what it ran"
times
