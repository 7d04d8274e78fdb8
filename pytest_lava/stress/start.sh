# Start a load in the background: __start SCRIPT TOKEN MOST LEASH COMMAND -> "SESSION FILE" (session 0: it has none).
# The shell that answers heartbeats is no prey of the OOM killer; run.sh makes itself one again.
__start() {
 for d in /dev/shm /run /tmp /var/tmp /data/local/tmp; do
  f=$d/.lava$$.stress; { echo 0 >$f; } 2>/dev/null && break; f=
 done
 [ -n "$f" ] || exit 3
 [ -e /proc/$$/fd/1 ] || exit 4
 { echo -1000 >/proc/$$/oom_score_adj; } 2>/dev/null
 s=; command -v setsid >/dev/null && s=setsid
 $s sh -c "$1" lava $f $2 $3 "$4" $$ "$5" </dev/null >/dev/null 2>&1 9>/proc/$$/fd/1 &
 if [ -n "$s" ]; then echo $! $f; else echo -$! $f; fi
}
