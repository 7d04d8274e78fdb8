# Programs that move a file over a network, in the background, so that the shell stays free; see http.py.
# Read after files.sh. Where one stands: process id in $__f.k, its complaints in $__f.w, its status in $__f.r.
unset http_proxy HTTP_PROXY all_proxy ALL_PROXY
__xput() { # way url: contents of what is at the url to the end of $__f.p
 case $1 in
  curl) exec curl -sS -f --connect-timeout 10 "$2";;
  wget1) exec wget -q -t 1 -T 30 -O - "$2";;
  wget) exec wget -q -O - "$2";;
 esac
}
__xget() { # way url host port path from size: $__f.p from an offset on to the url
 case $1 in
  curl) exec curl -sS -f --connect-timeout 10 -H Expect: -C $6 -T "$__f.p" "$2" >/dev/null;;
  nc)
   { printf 'PUT %s HTTP/1.0\r\nContent-Length: %s\r\n\r\n' "$5" $(($7-$6)); tail -c +$(($6+1)) "$__f.p"; } |
   nc "$3" $4 >/dev/null;;
  wget) exec wget -q -t 1 -T 30 -O - --post-file="$__f.p" "$2" >/dev/null;;
 esac
}
__xgo() {
 rm -f "$__f.r" "$__f.w"; : >"$__f.w"
 (
  trap '' INT QUIT
  case $1 in put) shift; __xput "$@" >>"$__f.p" & ;; get) shift; __xget "$@" & ;; esac
  echo $! >"$__f.k"; wait $!; echo $? >"$__f.r"
 ) >/dev/null 2>"$__f.w" </dev/null &
 echo "lava-ok begun"
}
__xstands() { # seconds to wait for the end
 n=$(($1*5))
 while [ ! -s "$__f.r" ] && [ $n -gt 0 ]; do sleep 0.2 2>/dev/null || sleep 1; n=$((n-1)); done
 if [ -s "$__f.r" ]; then
  read -r r <"$__f.r"
  [ $r = 0 ] && echo "lava-ok ended" || __xno network "status $r: $(cat "$__f.w")"
 else echo "lava-ok busy"; fi
}
__xstop() { kill -9 $(cat "$__f.k") 2>/dev/null; __xclean; rm -f "$__f.k" "$__f.r" "$__f.w"; echo "lava-ok stopped"; }
