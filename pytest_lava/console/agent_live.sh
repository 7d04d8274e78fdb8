# Streaming: output goes to the tty as it comes and to the files; the frame then has no payload. Meanwhile a process of
# its own answers pings. Loaded when first used.
__tee() ( trap '' INT QUIT; exec tee $__f.$__id.$1 )
__pong() {
 trap '' INT QUIT
 while IFS= read -r __i <&5; do
  case $__i in 'P '*) __$__i;; esac
 done
}
__V() {
 __get "$@" || return; __id=$1; __up; __u0=$__q; echo 130 >$__f.$1.r; true >$__f.$1.o; true >$__f.$1.e
 { __pong & __h=$!; } 5<&0 2>/dev/null
 { { { ( eval " $__c" ) 2>&3 <$__in; echo $? >$__f.$__id.r; } | __tee o >&4; } 3>&1 | __tee e; } 4>&1
 { kill -9 $__h; wait $__h; } 2>/dev/null
 read -r __rc <$__f.$1.r; __up; __u1=$__q; __A $1 "$5" s
}
