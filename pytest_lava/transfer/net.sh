# Programs that move a file over a network, in the background, so that the shell stays free; see http.py.
# Read after files.sh. Where one stands: process id in $__f.k, its complaints in $__f.w, its status in $__f.r.
# Here ways are: curl, wget1 (GNU), wget (of busybox and others, whose --post-file ends at the first NUL), nc.
unset http_proxy HTTP_PROXY all_proxy ALL_PROXY
# run what brings the network up, tell what can be used, and the addresses that the board has
__xnet() {
 if [ "$1" ]; then ( eval "$1" ) >"$__f.w" 2>&1 </dev/null || { __xno network "status $?: $(cat "$__f.w")"; return; }; fi
 w=-
 __has curl && w=$w,curl
 if __has wget; then
  y=$(wget --help 2>&1)
  case $y in *'GNU Wget'*) w=$w,wget1;; *) w=$w,wget;; esac
 fi
 __has nc && w=$w,nc
 y=$( (ip -4 addr || ifconfig) 2>/dev/null | sed -n 's/.*inet \(addr:\)\{0,1\}\([0-9.]*\).*/\2/p')
 echo "lava-ok net $w" $y
}
# way, url, host, port, path: contents of what is at the url to the end of $__f.p
__xput() {
 case $1 in
  curl) exec curl -sS -f --connect-timeout 10 "$2";;
  wget1) exec wget -q -t 1 -T 30 -O - "$2";;
  wget) exec wget -q -O - "$2";;
  nc) echo "GET $5$__nl" | nc "$3" $4;;
 esac
}
# way, url, host, port, path, from, size: $__f.p from an offset on to the url
__xget() {
 case $1 in
  curl) exec curl -sS -f --connect-timeout 10 -H Expect: -C $6 -T "$__f.p" "$2" >/dev/null;;
  nc)
   { printf 'PUT %s HTTP/1.0\r\nContent-Length: %s\r\n\r\n' "$5" $(($7-$6)); tail -c +$(($6+1)) "$__f.p"; } |
   nc "$3" $4 >/dev/null;;
  wget1) exec wget -q -t 1 -T 30 -O - --post-file="$__f.p" "$2" >/dev/null;;
 esac
}
# put (to the link), try (to $__f.n) or get (from the link), and the rest as above
__xgo() {
 rm -f "$__f.r" "$__f.n"; : >"$__f.w"
 (
  trap '' INT QUIT
  v=$1; shift
  case $v in put) __xput "$@" >>"$__f.p" & ;; try) __xput "$@" >"$__f.n" & ;; get) __xget "$@" & ;; esac
  echo $! >"$__f.k"; wait $!; echo $? >"$__f.r"
 ) >/dev/null 2>"$__f.w" </dev/null &
 echo "lava-ok begun"
}
# seconds to wait for the end
__xstands() {
 n=$(($1*5))
 while [ ! -s "$__f.r" ] && [ $n -gt 0 ]; do sleep 0.2 2>/dev/null || sleep 1; n=$((n-1)); done
 [ -s "$__f.r" ] || { echo "lava-ok busy"; return; }
 read -r r <"$__f.r"
 if [ $r = 0 ]; then echo "lava-ok ended $(cat "$__f.n" 2>/dev/null)"; else __xno network "status $r: $(cat "$__f.w")"; fi
}
__xstop() { kill -9 $(cat "$__f.k") 2>/dev/null; rm -f "$__f.k" "$__f.r" "$__f.w" "$__f.n"; echo "lava-ok stopped"; }
