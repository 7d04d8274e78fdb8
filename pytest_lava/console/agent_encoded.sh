# A stream in an alphabet without '[', so that kernel records can be cut out without doubt. Loaded when first used.
__b=-
__code() {
 case $1 in base64) base64;; od) od -An -v -tx1;; hexdump) hexdump -v -e '1/1 "%02x"';; esac
}
for __x in hexdump od base64; do
 case $( (echo lava | __code $__x) 2>/dev/null) in bGF2YQo=|*6c*61*76*61*0a) __b=$__x;; esac
done
__B() {
 echo "$__nl~$1;$2;$__b~"
 head -c $3 $__f.$1.$2 | __code $__b
 echo "$__nl~$1;$2."
}
