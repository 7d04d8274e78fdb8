# Many small commands in one request: their statuses, times and sizes, then all streams. It runs inside of a D request,
# so its answer is checked and asked for again as any other's. Loaded when first used.
__one() {
 __up; __u0=$__q
 ( eval " $2" ) >"$__f.$__id.$1.o" 2>"$__f.$__id.$1.e" </dev/null; __rc=$?
 __up; __y=-; [ -s "$__f.$__id.$1.o" ] && __y=o; [ -s "$__f.$__id.$1.e" ] && __y=$__y.e
 __a="$__a$__rc;$__u0;$__q;$__y$__nl"
}
__all() {
 set --; __w=0
 echo "$__a"
 while [ -e "$__f.$__id.$__w.o" ]; do
  [ -s "$__f.$__id.$__w.o" ] && set -- "$@" "$__f.$__id.$__w.o"
  [ -s "$__f.$__id.$__w.e" ] && set -- "$@" "$__f.$__id.$__w.e"
  __w=$((__w+1))
 done
 [ $# = 0 ] && return; wc -c "$@"; [ $# = 1 ] && echo; cat "$@"
}
