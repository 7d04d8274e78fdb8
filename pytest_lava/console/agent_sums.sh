# Sums for boards whose cksum does not exist or does not work, and of the beginning of streams that are cut. $__m is
# c (cksum), m (md5sum) or w (sizes alone). Tools are tried, as a busybox may have the name and not the tool. Loaded
# when first used.
__m=w
case $( (echo lava | md5sum) 2>/dev/null) in df991dff0d2440bd4a7947530995db94*) __m=m;; esac
case $( (echo lava | cksum) 2>/dev/null) in '3286395522 5'*) __m=c;; esac
__cut() {
 case $__m in c) set -- $(head -c $2 $1 | cksum);; m) set -- $(head -c $2 $1 | md5sum);; *) set -- -;; esac
 __q=$1
}
__sums() {
 __g=$1; set --
 case $__m in c) set -- $(cksum $__g.o $__g.e);; m) set -- $(md5sum $__g.o $__g.e);; esac
 __ko=${1:--}
 case $__m in c) __so=$2 __ke=$4 __se=$5;; *) __ke=${3:--}; set -- $(wc -c $__g.o $__g.e); __so=$1 __se=$3;; esac
 [ "$__se" ] || return
 [ $__so -le $__li ] || { __cut $__g.o $__li; __so=$__li __ko=$__q __fl=${__fl}t; }
 [ $__se -le $__li ] || { __cut $__g.e $__li; __se=$__li __ke=$__q __fl=${__fl}t; }
}
