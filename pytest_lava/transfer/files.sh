# Whole files: what comes before and after their contents. Kept in $__f.t and read by each command; see files.py.
# $__f is the shell's own name for its files. Contents go to and from $__f.p, a link to what is read or appended to.
# Answers begin with "lava-ok" or, with a word that says why not, "lava-no".
__nl='
'
__has() { command -v $1 >/dev/null 2>&1; }
# sums of blocks: tools are tried, as a busybox may have the name and not the tool
case $__m in
 c|m|w) ;;
 *)
  __m=w
  case $( (echo lava | md5sum) 2>/dev/null) in df991dff0d2440bd4a7947530995db94*) __m=m;; esac
  case $( (echo lava | cksum) 2>/dev/null) in '3286395522 5'*) __m=c;; esac;;
esac
__xsum() {
 case $__m in
  c) set -- $(cksum <"$1"); __xs=$1 __xz=$2;;
  m) set -- $(md5sum <"$1") $(wc -c <"$1"); __xs=$1 __xz=$3;;
  *) set -- $(wc -c <"$1"); __xs=- __xz=$1;;
 esac
}
__xclean() { rm -f "$__f.b" "$__f.p" "$__f.q" "$__f.g" "$__f.z"; }
for __xws in sha256sum md5sum cksum ''; do __has $__xws && break; done
__xof() { if [ "$__xws" ]; then set -- $($__xws <"$1"); echo $1; else echo -; fi; }
__xno() { echo "lava-no $*"; }
__xwhy() { __xno $1 "$(cat "$__f.w")"; }
__xchecked() {
 case $__m in
  c) set -- "$1" "$2" $(printf %s "$2" | cksum);;
  m) set -- "$1" "$2" $(printf %s "$2" | md5sum);;
  *) set -- "$1" "$2" "$1";;
 esac
 if [ "$1" = "$3" ]; then eval "$2"; else __xno damaged; fi
}
__xundoes() { [ "$(printf "$2" | $1 -dc 2>/dev/null)" = lava ] && u=$u,$1; }
__xmakes() { [ "$(echo lava | $1 -c 2>/dev/null | $1 -dc 2>/dev/null)" = lava ] && m=$m,$1; }
__xfacts() {
 u=- m=-
 while [ $# -gt 0 ]; do __has $1 && { __xundoes $1 "$2"; __xmakes $1; }; shift 2; done
 : >"$__f.q" && ln -sf "$__f.q" "$__f.p" && echo "lava-ok facts $__m ${__xws:--} $u $m"
}
__xresolve() {
 t=$1; k=move
 case $t in /*) ;; *) t=$PWD/$t;; esac
 if [ -d "$t" ] && [ "$2" ]; then t=${t%/}/$2; fi
 if [ -L "$t" ]; then y=$(readlink -f "$t" && echo x) && t=${y%?x}; fi
 d=${t%/*}; d=${d:-/}
 case $t in */) d=$t;; esac
 [ -d "$t" ] && { __xno directory; return 1; }
 [ -d "$d" ] || { __xno folder; return 1; }
 if [ -e "$t" ]; then
  [ -f "$t" ] || k=through
  case $t in /proc/*|/sys/*) k=through;; esac
 fi
 p=$d/.lava-$3.part; [ $k = move ] || p=$__f.h
}
__xattributes() {
 o=$2; [ $o = - ] && [ -e "$t" ] && o=$(stat -c %a "$t")
 [ "${o:--}" = - ] || chmod $o "$1" || return 1
 [ $3 = - ] || touch -d @$3 "$1" || TZ=UTC0 touch -t $4 "$1" || :
} 2>"$__f.w"
# name, name in a folder, key of the part (-: only ask), size, sum, mode, two times
__xbegin_put() {
 __xresolve "$1" "$2" "$3" || return
 if [ $k = through ]; then rm -f "$p"; d=${__f%/*}
 elif [ -f "$t" ] && [ $(wc -c <"$t") -eq $4 ] && [ $5 != - ] && [ "$(__xof "$t")" = $5 ]; then
  __xattributes "$t" $6 $7 $8 || { __xwhy refused; return; }
  rm -f "$p"; echo "lava-ok same"; return
 fi
 [ $3 = - ] && { echo "lava-ok part 0 - -"; return; }
 # what was begun in another compression
 for y in "$d/.lava-${3%-*}"-*.part; do [ "$y" = "$p" ] || rm -f "$y"; done
 ( : >>"$p" ) 2>"$__f.w" || { __xwhy refused; return; }
 __xsum "$p"; ln -sf "$p" "$__f.p"
 set -f; set -- $(df -Pk "$d" 2>/dev/null | tail -n 1)
 echo "lava-ok part $__xz $__xs ${4:--}"
}
__xdrop() { __xresolve "$@" && rm -f "$p" "$p.new"; echo lava-ok; }
__xend_put() {
 __xresolve "$1" "$2" "$3" || return
 n=$p
 if [ -e "$p" ]; then
  if [ $4 != none ]; then
   n=$p.new
   $4 -dc <"$p" >"$n" 2>"$__f.w" || { __xwhy unpack; rm -f "$n" "$p"; return; }
  fi
  [ "$(__xof "$n")" = $5 ] || { rm -f "$n" "$p"; __xno sum; return; }
  if [ $k = through ]; then cat "$n" 2>"$__f.w" >"$t"
  else __xattributes "$n" $6 $7 $8 && mv -f "$n" "$t" 2>"$__f.w"
  fi || { __xwhy refused; rm -f "$n" "$p"; return; }
  rm -f "$n" "$p"
 else [ "$(__xof "$t")" = $5 ] || { __xno sum; return; }
 fi
 echo "lava-ok done"
}
# name, size and sum of what is there already, program and level to compress with, size from which on not (-: always)
__xbegin_get() {
 t=$1; u=none
 case $t in /*) ;; *) t=$PWD/$t;; esac
 [ -d "$t" ] && { __xno directory; return; }
 [ -e "$t" ] || { __xno missing; return; }
 [ -f "$t" ] || { __xno special; return; }
 [ -r "$t" ] || { __xno unreadable; return; }
 m=$(stat -L -c '%a %Y' "$t" 2>/dev/null) || m="$(ls -lLd "$t" | cut -c 1-10) $(date -r "$t" +%s 2>/dev/null)"
 q=$t c=
 case $t in /proc/*|/sys/*) c=y;; *) [ $(wc -c <"$t") -gt 65536 ] || c=y;; esac
 if [ $c ]; then q=$__f.g; cat "$t" 2>"$__f.w" >"$q" || { __xwhy unreadable; rm -f "$q"; return; }; fi
 z=$(($(wc -c <"$q"))); s=$(__xof "$q")
 [ $s != - ] && [ "$z $s" = "$2 $3" ] && { rm -f "$__f.g"; echo "lava-ok same $z $s none $z $m"; return; }
 if [ $4 != - ] && [ $z -ge 1024 ] && { [ $6 = - ] || [ $z -lt $6 ]; }; then
  k=$((z/32768)); a=$((z-k*16384)); [ $a -gt 16384 ] && a=16384
  y=$(dd if="$q" bs=16384 count=1 skip=$k 2>/dev/null | $4 -c | wc -c)
  if [ $((y*20)) -lt $((a*19)) ] && $4 $5 -c <"$q" >"$__f.z" 2>/dev/null && [ $(wc -c <"$__f.z") -lt $z ]
  then u=$4 q=$__f.z; else rm -f "$__f.z"; fi
 fi
 ln -sf "$q" "$__f.p"
 echo "lava-ok get $z $s $u $(($(wc -c <"$q"))) $m"
}
