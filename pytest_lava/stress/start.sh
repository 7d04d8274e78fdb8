# Start a load in the background: __start SCRIPT TOKEN MOST LEASH COMMAND -> "SESSION FILE" (session 0: it has none).
# The shell that answers heartbeats is no prey of the OOM killer; run.sh makes itself one again.
__start() {
 for d in /dev/shm /run /tmp /var/tmp /data/local/tmp; do
  f=$d/${__f##*/}.stress; { echo 0 >$f; } 2>/dev/null && break; f=
 done
 [ -n "$f" ] || exit 3
 # the tty; mksh has the agent's own output redirected while a command runs, and what init starts may have no /dev/tty
 t=/dev/tty; { : >$t; } 2>/dev/null || t=/proc/$$/fd/1
 [ -c $t ] || exit 4
 { echo -1000 >/proc/$$/oom_score_adj; } 2>/dev/null
 s=; command -v setsid >/dev/null && s=setsid
 $s sh -c "$1" lava $f $2 $3 "$4" $$ "$5" </dev/null >$t 2>/dev/null &
 if [ -n "$s" ]; then echo $! $f; else echo -$! $f; fi
}
