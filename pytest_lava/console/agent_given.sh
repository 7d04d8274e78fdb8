# Commands and input that come as files, as they hold what a tty takes for itself; loaded when first used.
__W() { printf %b "$2" >>$__f.$1; }
__size() { __q=$(wc -c <$__f.$1) && [ $__q -eq $2 ]; } 2>/dev/null
__given() {
 [ $6 = - ] || { __size $1.c $6 && __c=". $__f.$1.c"; } || { __e $1!c; return 1; }
 [ $7 = - ] || { __size $1.i $7 && __in=$__f.$1.i; } || { __e $1!i; return 1; }
}
