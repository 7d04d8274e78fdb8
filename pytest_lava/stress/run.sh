# What runs on the board for a stress run, by start.sh: sh -c THIS lava FILE TOKEN MOST LEASH SHELL COMMAND
# Its output is the tty (mksh passes no other descriptor on).
exec 9>&1 >/dev/null
# The output goes through tail, so that of any amount only the end is kept, in its memory.
f=$1 t=$2 most=$3 n=0 r=0
{ echo 0 >/proc/self/oom_score_adj; } 2>/dev/null
say() {
 u=; read -r u w </proc/uptime
 if [ $1 = end ]; then echo "$n $r $u" >$f; fi
 m="~S$t;$1;$u;$n;$r~"; echo "
$m
$m" >&9
}
# who kills the shell's owner cannot reach us
[ -z "$4" ] || {
 while { read -r p c s w </proc/$5/stat; } 2>/dev/null && [ "$s" != Z ]; do sleep 2; done
 rm -f $f $f-out; kill -9 -$$
} 9>&- 2>/dev/null &
# the kernel's clock is not the one of /proc/uptime: its crash is told by this record
[ -n "$4" ] || { echo "<4>pytest-lava: stress $t begins" >/dev/kmsg; } 2>/dev/null
say begin
{
 while :; do
  ( eval " $6" ) 9>&-; r=$?
  n=$((n+1)); echo $n >$f
  [ $r = 0 ] && [ $n != $most ] || break
 done
 say end
} 2>&1 | ( trap '' TERM; exec tail -c 65536 9>&- >$f-out )
