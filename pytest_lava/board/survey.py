"""Asks a board that has come to its shell what it is made of: one round trip, and no harm if it cannot tell."""

from __future__ import annotations

from pytest_lava.board.inventory import FILES, PACKAGES, Inventory, read_inventory
from pytest_lava.console.shell import Shell
from pytest_lava.errors import LavaError
from pytest_lava.events import EventLog

__all__ = ["survey"]

_SECONDS = 20.0
_SECONDS_OF_PACKAGES = 60.0
_MOST = 4 << 20  # bytes of an answer

# One process where there are few cores, and few bytes: it is typed over a serial line, and an emulated board needs
# milliseconds for each process. What is not there is no matter. Many cores tell too much; of their flags those of the
# first will do, as kernels tell the same for all.
_HARDWARE = rf"""exec 2>/dev/null
cd /proc
tell() {{ v=; [ ! -r "$2" ] || read -r v <"$2"; [ ! "$v" ] || echo "$1 $v"; }}
tell memory meminfo
for n in sys_vendor product_name product_version bios_version; do tell $n /sys/class/dmi/id/$n; done
for d in /sys/bus/usb/devices/*; do
[ -r $d/idVendor ] || continue
echo "usb ${{d##*/}}"
for n in idVendor idProduct manufacturer product speed; do tell $n $d/$n; done
done
n=0
read -r n </sys/devices/system/cpu/present
o=/etc/os-release
[ -r $o ] || o=/usr/lib/os-release
set -- $o device-tree/model device-tree/compatible
echo {FILES}
case $n in
0|0-[1-3]) cat cmdline cpuinfo $@;;
*) cat cmdline
k='processor|model name|cpu model|CPU (impl|part)|isa|uarch|cpu[^a-z _]|Hardware|Model|machine|system type'
grep -E "^($k)" cpuinfo
grep -Em1 '^(flags|[Ff]eatures)' cpuinfo
cat $@
esac
"""
# From files where there are some: a package manager takes ten times as long. A busybox has an rpm that knows nothing.
_PACKAGES = rf"""s=
for n in /var/lib/dpkg/status /var/lib/dpkg/status.d/* /usr/lib/opkg/status /var/lib/opkg/status /lib/apk/db/installed
do [ ! -s "$n" ] || s="$s $n"; done
if [ "$s" ]; then set -- grep -hE '^(Package|Status|Version|P|V):' $s
elif [ -d /var/lib/rpm ] || [ -d /usr/lib/sysimage/rpm ]
then set -- rpm -qa --qf '%{{NAME}} %{{VERSION}}-%{{RELEASE}}\n'
elif [ -d /var/lib/pacman/local ]; then set -- ls /var/lib/pacman/local
else exit 0; fi
echo; echo {PACKAGES}
if command -v gzip >/dev/null; then "$@" | gzip -c; else "$@"; fi
"""


def survey(shell: Shell, events: EventLog, *, packages: bool) -> Inventory:
    """What the board tells of its hardware and system, and of installed ``packages`` if they are wanted.

    A board without ``/proc``, ``/sys`` or ``grep`` tells less or nothing. ``Hang``, ``KernelCrash``, ``ConsoleLost``
    if it dies of the question; whatever else is wrong goes to the event log.
    """
    script = _HARDWARE + (_PACKAGES if packages else "")
    try:
        done = shell.run(script, timeout=_SECONDS_OF_PACKAGES if packages else _SECONDS, max_output=_MOST)
    except LavaError as error:
        if error.recovers:
            raise
        events.emit(f"the board does not tell what it is made of: {error}", level="warning")
        return Inventory()
    return read_inventory(done.stdout_bytes)
