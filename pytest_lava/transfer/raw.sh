# File transfer over the tty, 8-bit clean, a checksum a block. Read by the agent's shell after files.sh; see blocks.py.
# It works on $__f.p, a link to what is read or appended to. Each request begins with the nonce that __xfer was given,
# so that what is left of a damaged block is not taken for one.
#   U off size sum wire  answered by ~R<the same>. Only then `wire` raw bytes follow, as some shells read ahead of a
#                    line's end; they are appended if the sum is right, else dropped            -> ~K<at>;<at>.
#   V off size sum wire  the same in base64
#   G off size       send a block raw         -> \n~G<off>;<size>;<sum>~\n<raw>~<off>.\n   off is a multiple of 1024
#   H off size       the same in base64
#   P token          ~P<token>;<at>.     T   end
__xdd() { dd bs=$1 count=1 iflag=fullblock 2>/dev/null; }
dd if=/dev/null of=/dev/null iflag=fullblock 2>/dev/null || __xdd() { head -c $1; }
__xw=; ( read -r -t 1 __xy </dev/null; [ $? -lt 2 ] ) 2>/dev/null && __xw='-t 1'
__xraw() { stty -icanon -echo -opost -ixon -icrnl -inlcr -igncr -iexten -isig -istrip -brkint min 0 time 5 2>/dev/null; }
__xline() {
 __xl=; __xc=0
 while :; do
  IFS= read -r $__xw __xy && { __xl=$__xl$__xy; return 0; }
  __xl=$__xl$__xy; __xc=$((__xc+1)); [ $__xc -gt 60 ] && return 1
 done
}
__xtake() {
 echo "$__nl~R$2;$3;$4;$5."
 case $1 in
  U) __xdd "$5" >"$__f.b" || echo "$__nl~F.";;
  V) __xdd "$5" | base64 -d >"$__f.b" 2>/dev/null;;
 esac
 __xsum "$__f.b"
 if [ "$__xz;$2;$__xs" = "$3;$__xn;$4" ]; then
  if cat "$__f.b" >>"$__f.p"; then __xn=$((__xn+$3)); else echo "$__nl~F."; fi
 fi 2>/dev/null
 echo "$__nl~K$__xn;$__xn."
}
__xgive() {
 case "$2 $3" in *[!0-9\ ]*|0?*\ *|*\ 0*|\ *|*\ ) return;; esac
 dd if="$__f.p" of="$__f.b" bs=1024 skip=$(($2/1024)) count=$((($3+1023)/1024)) 2>/dev/null
 __xsum "$__f.b"
 echo "$__nl~G$2;$__xz;$__xs~"
 if [ "$1" = G ]; then cat "$__f.b"; else base64 "$__f.b"; fi
 echo "~$2."
}
# What __xfer leaves behind is only what it appended to. It ends by itself when nothing is said for half a minute or so.
__xfer() {
 __xno=$1 __xn=$2
 __xraw; echo "$__nl~X$__xno;$__xn."
 while __xline; do
  case $__xl in
   "$__xno U "*|"$__xno V "*) __xtake ${__xl#* };;
   "$__xno G "*|"$__xno H "*) __xgive ${__xl#* };;
   "$__xno P "*) echo "$__nl~P${__xl##* };$__xn.";;
   "$__xno T") break;;
  esac
 done
 __xclean; __tty
}
