# File transfer by commands, where the tty cannot be had raw; see chunks.py. Read after files.sh.
#   __xgot off size sum encoding <data     append, if it is right                  -> lava-ok at <where it stands now>
#   __xshow off size encoding              contents on standard output, their size and sum on standard error
__xcoded() { if [ $1 = base64 ]; then base64 $2; else cat; fi; }
__xgot() {
 z=$(($(wc -c <"$__f.p")))
 __xcoded $4 -d >"$__f.b" 2>/dev/null; __xsum "$__f.b"
 if [ $z = $1 ] && [ "$(($__xz)) $__xs" = "$2 $3" ]; then
  ( cat "$__f.b" >>"$__f.p" ) 2>"$__f.w" || { __xwhy refused; return; }
  z=$((z+$2))
 fi
 echo "lava-ok at $z"
}
__xshow() {
 dd if="$__f.p" of="$__f.b" bs=1024 skip=$(($1/1024)) count=$((($2+1023)/1024)) 2>/dev/null
 __xsum "$__f.b"; echo "lava-ok $(($__xz)) $__xs" >&2
 __xcoded $3 <"$__f.b"
}
