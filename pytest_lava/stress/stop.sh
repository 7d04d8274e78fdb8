# End a load: __stop SESSION FILE -> the end of its output; status 1 if something of it may still run.
# Its processes are found by their session; a zombie is none (its init may never reap it). One grep looks at all of them,
# as a shell reads /proc a byte at a time.
left() {
 l=
 for s in $(grep -lE "\) [^Z] [0-9]+ [0-9]+ $S " /proc/[0-9]*/stat 2>/dev/null); do
  s=${s#/proc/}; l="$l ${s%/stat}"
 done
 [ -n "$l" ]
}
__stop() {
 S=$1 f=$2
 for k in TERM 0 0 0 0 TERM 0 0 0 0 KILL 0 KILL; do
  left || break
  kill -$k $l 2>/dev/null; sleep 0.2 2>/dev/null || sleep 1
 done
 cat $f-out 2>/dev/null; rm -f $f $f-out
 { echo 0 >/proc/$$/oom_score_adj; } 2>/dev/null
 case $S in -*) kill -9 ${S#-}; exit 1;; esac
 ! left
}
